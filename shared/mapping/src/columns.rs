//! Finds the columns of a user map by their headers.

use csv::StringRecord;
use icu_normalizer::DecomposingNormalizerBorrowed;

use crate::{Column, Problem, Warning};

/// Positions of the columns that are read, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) phone: usize,
    pub(crate) address: usize,
    pub(crate) valid_from: Option<usize>,
    pub(crate) valid_to: Option<usize>,
}

// Spellings in lower case, letters and digits only, without accents. An earlier list has precedence, because the
// "Phone" of an address book is a desk phone if there is also a "Mobile".
// "External User ID" and "Microsoft 365 User Mailbox" are the columns of the custom mapping that Microsoft's TeleMessage
// connector takes; customers already have that file.

const MOBILE: &[&str] = &[
    "mobile",
    "mobilenumber",
    "mobileno",
    "mobilenr",
    "mobilephone",
    "mobilephonenumber",
    "usersmobile",
    "usersmobilenumber",
    "usermobilenumber",
    "usersmobilephonenumber",
    "employeemobilenumber",
    "cell",
    "cellnumber",
    "cellphone",
    "cellphonenumber",
    "cellular",
    "whatsapp",
    "whatsappnumber",
    "whatsappphone",
    "whatsappphonenumber",
    "msisdn",
    "externaluserid",
    "mobil",
    "mobilnummer",
    "mobilnr",
    "mobiltelefon",
    "mobiltelefonnummer",
    "handy",
    "handynummer",
    "handynr",
    "portable",
    "numerodeportable",
    "numeroportable",
    "numeromobile",
    "numerodemobile",
    "telephonemobile",
    "telephoneportable",
    "movil",
    "numeromovil",
    "numerodemovil",
    "telefonomovil",
    "celular",
    "numerodecelular",
    "telefonocelular",
    "telemovel",
    "numerodetelemovel",
    "numerotelemovel",
    "cellulare",
    "numerocellulare",
    "numerodicellulare",
    "telefonocellulare",
    "mobiel",
    "mobielnummer",
    "mobielenummer",
    "gsm",
    "gsmnummer",
    "matkapuhelin",
    "matkapuhelinnumero",
    "telefonkomorkowy",
    "numerkomorkowy",
    "numertelefonukomorkowego",
];

const PHONE: &[&str] = &[
    "phone",
    "phonenumber",
    "phoneno",
    "phonenr",
    "usersphone",
    "usersphonenumber",
    "userphonenumber",
    "tel",
    "telno",
    "telnr",
    "telephone",
    "telephonenumber",
    "number",
    "telefon",
    "telefonnummer",
    "telefonnr",
    "rufnummer",
    "numerodetelephone",
    "numerotelephone",
    "telefono",
    "numerodetelefono",
    "numerotelefono",
    "telefone",
    "numerodetelefone",
    "numeroditelefono",
    "telefoon",
    "telefoonnummer",
    "puhelin",
    "puhelinnumero",
    "numertelefonu",
];

const MAILBOX: &[&str] = &[
    "mailbox",
    "mailboxaddress",
    "usermailbox",
    "usersmailbox",
    "microsoft365mailbox",
    "microsoft365usermailbox",
    "m365mailbox",
    "m365usermailbox",
    "office365mailbox",
    "office365usermailbox",
    "o365mailbox",
    "exchangemailbox",
    "postfach",
    "postboks",
    "postkasse",
    "postvak",
    "boiteauxlettres",
    "buzon",
];

const EMAIL: &[&str] = &[
    "email",
    "emails",
    "emailaddress",
    "emailid",
    "usersemail",
    "usersemailaddress",
    "useremail",
    "useremailaddress",
    "employeeemail",
    "workemail",
    "workemailaddress",
    "mail",
    "mailaddress",
    "smtp",
    "smtpaddress",
    "primarysmtpaddress",
    "upn",
    "userprincipalname",
    "emailadresse",
    "mailadresse",
    "epost",
    "epostadresse",
    "epostadress",
    "mailadress",
    "emailadress",
    "adresseemail",
    "adressemail",
    "adressecourriel",
    "courriel",
    "adresseelectronique",
    "correo",
    "correoelectronico",
    "direcciondecorreo",
    "direcciondecorreoelectronico",
    "direccionemail",
    "enderecodeemail",
    "correioeletronico",
    "indirizzoemail",
    "indirizzomail",
    "postaelettronica",
    "emailadres",
    "mailadres",
    "sahkoposti",
    "sahkopostiosoite",
    "adresemail",
    "adrespocztyelektronicznej",
];

impl Columns {
    /// Finds the columns in the header. Also returns warnings about doubtful headers.
    pub(crate) fn find(header: &StringRecord) -> Result<(Self, Vec<Warning>), Problem> {
        let names: Vec<String> = header.iter().map(plain).collect();
        let columns = Self {
            phone: column(&names, &[MOBILE, PHONE], Column::Phone)?,
            address: column(&names, &[MAILBOX, EMAIL], Column::Address)?,
            valid_from: optional(column(&names, &[VALID_FROM, START], Column::ValidFrom))?,
            valid_to: optional(column(&names, &[VALID_TO, END], Column::ValidTo))?,
        };
        let mut warnings = Vec::new();
        for (index, name) in names.iter().enumerate() {
            if index != columns.phone && (MOBILE.contains(&name.as_str()) || PHONE.contains(&name.as_str())) {
                warnings.push(Warning::IgnoredPhoneColumn { ignored: index + 1, read: columns.phone + 1 });
            }
        }
        for (index, name) in names.iter().enumerate().filter(|(index, _)| !columns.contains(*index)) {
            if PERIOD_WORDS.iter().any(|word| name.contains(word))
                || START.contains(&name.as_str())
                || END.contains(&name.as_str())
            {
                warnings.push(Warning::IgnoredPeriodColumn { column: index + 1 });
            }
        }
        if names[columns.phone] == NUMBER {
            warnings.push(Warning::NumberColumn { column: columns.phone + 1 });
        }
        Ok((columns, warnings))
    }

    /// Returns whether the column at a position, from 0, is read.
    pub(crate) fn contains(&self, index: usize) -> bool {
        index == self.phone || index == self.address || [self.valid_from, self.valid_to].contains(&Some(index))
    }
}

/// A header that may name a phone number or an employee number.
const NUMBER: &str = "number";

const VALID_FROM: &[&str] = &[
    "validfrom",
    "validsince",
    "validfromdate",
    "datevalidfrom",
    "effectivefrom",
    "gultigab",
    "gultigvon",
    "gyldigfra",
    "giltigfran",
    "valableapartirdu",
    "valabledu",
    "validedepuis",
    "validodesde",
    "validoapartirde",
    "validode",
    "validodal",
    "validodesdeel",
    "geldigvan",
    "geldigvanaf",
    "voimassaalkaen",
    "waznyod",
    "waznaod",
    "wazneod",
];

const VALID_TO: &[&str] = &[
    "validto",
    "validuntil",
    "validtill",
    "validthrough",
    "validthru",
    "validtodate",
    "datevalidto",
    "effectiveto",
    "effectiveuntil",
    "gultigbis",
    "gyldigtil",
    "giltigtill",
    "giltigttill",
    "valablejusquau",
    "valableau",
    "validejusquau",
    "validohasta",
    "validohastael",
    "validoate",
    "validoal",
    "validofinoal",
    "geldigtot",
    "geldigtotenmet",
    "voimassaasti",
    "waznydo",
    "waznado",
    "waznedo",
];

/// Columns of personnel systems. They are used if there is no column of the first lists.
const START: &[&str] = &[
    "startdate",
    "dateofstart",
    "begindate",
    "startdatum",
    "datededebut",
    "datedebut",
    "fechadeinicio",
    "fechainicio",
    "datadeinicio",
    "datainicio",
    "datadiinizio",
    "datainizio",
    "begindatum",
    "startdato",
    "alkamispaiva",
    "datarozpoczecia",
];

const END: &[&str] = &[
    "enddate",
    "dateofend",
    "enddatum",
    "datedefin",
    "datefin",
    "fechadefin",
    "fechafin",
    "datadefim",
    "datafim",
    "datadifine",
    "datafine",
    "einddatum",
    "slutdato",
    "sluttdato",
    "slutdatum",
    "paattymispaiva",
    "datazakonczenia",
];

/// Parts of a header that names a period, in case it is in none of the lists.
const PERIOD_WORDS: &[&str] = &[
    "valid",
    "expir",
    "until",
    "effective",
    "gultig",
    "ablauf",
    "gyldig",
    "giltig",
    "geldig",
    "valable",
    "caduc",
    "vigen",
    "scaden",
    "voimass",
    "wazn",
];

fn optional(found: Result<usize, Problem>) -> Result<Option<usize>, Problem> {
    match found {
        Ok(index) => Ok(Some(index)),
        Err(Problem::NoColumn(_)) => Ok(None),
        Err(problem) => Err(problem),
    }
}

fn column(names: &[String], spellings: &[&[&str]], column: Column) -> Result<usize, Problem> {
    for &spellings in spellings {
        let mut found = names.iter().enumerate().filter(|(_, name)| spellings.contains(&name.as_str()));
        match (found.next(), found.next()) {
            (Some((index, _)), None) => return Ok(index),
            (Some(_), Some(_)) => return Err(Problem::TwoColumns(column)),
            (None, _) => {}
        }
    }
    Err(Problem::NoColumn(column))
}

/// Returns the letters and digits of a header in lower case, without accents.
fn plain(name: &str) -> String {
    // The decomposed form of a letter is the letter and its accents, which are not alphanumeric.
    let decomposed = DecomposingNormalizerBorrowed::new_nfd().normalize(name);
    decomposed.chars().flat_map(char::to_lowercase).filter(|char| char.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(header: &[&str]) -> Result<(usize, usize), Problem> {
        Columns::find(&StringRecord::from(header)).map(|(columns, _)| (columns.phone, columns.address))
    }

    #[test]
    fn common_headers_are_recognized() {
        for header in [
            ["User's mobile number", "User's Email address"],
            ["External User ID", "Microsoft 365 User Mailbox"],
            ["MOBILE_NUMBER", "e-mail"],
            ["Mobile  No.", "E-Mail Address"],
            [" phone ", "mail"],
            ["Handynummer", "E-Mail-Adresse"],
            ["Mobilnummer", "E-postadresse"],
            ["Numéro de téléphone", "Courriel"],
            ["Nume\u{301}ro de te\u{301}le\u{301}phone", "Adresse e-mail"],
            ["Número de móvil", "Correo electrónico"],
            ["Telemóvel", "Endereço de e-mail"],
            ["Cellulare", "Indirizzo e-mail"],
        ] {
            assert_eq!(positions(&header), Ok((0, 1)), "{header:?}");
        }
    }

    #[test]
    fn mobile_column_is_preferred_and_doubt_is_an_error() {
        assert_eq!(positions(&["Name", "Phone", "Mobile", "UPN", "Mailbox"]), Ok((2, 4)));
        assert_eq!(positions(&["Mobile", "Cell", "E-mail"]), Err(Problem::TwoColumns(Column::Phone)));
        assert_eq!(positions(&["Mobile", "E-mail", "UPN"]), Err(Problem::TwoColumns(Column::Address)));
        assert_eq!(positions(&["Name", "E-mail"]), Err(Problem::NoColumn(Column::Phone)));
        assert_eq!(positions(&["Phone", "Name"]), Err(Problem::NoColumn(Column::Address)));
        assert_eq!(
            positions(&["Phone", "Mail", "valid_from", "Valid from"]),
            Err(Problem::TwoColumns(Column::ValidFrom))
        );
    }

    #[test]
    fn header_warns_of_ignored_phone_columns_and_of_number() {
        let warnings = |header: &[&str]| Columns::find(&StringRecord::from(header)).map(|(_, warnings)| warnings);
        assert_eq!(
            warnings(&["Phone", "Mail", "Mobile"]),
            Ok(vec![Warning::IgnoredPhoneColumn { ignored: 1, read: 3 }])
        );
        assert_eq!(warnings(&["Mail", "Number"]), Ok(vec![Warning::NumberColumn { column: 2 }]));
        assert_eq!(warnings(&["Mobile", "Mail", "valid_from", "valid_to"]), Ok(Vec::new()));
        assert_eq!(
            warnings(&["Mobile", "Mail", "Valid until", "End date", "Card expires", "Name"]),
            Ok(vec![Warning::IgnoredPeriodColumn { column: 4 }, Warning::IgnoredPeriodColumn { column: 5 }])
        );
    }

    #[test]
    fn columns_of_a_period_are_recognized_in_every_language() {
        for (from, to) in [
            ("valid_from", "valid_to"),
            ("Valid since", "Valid through"),
            ("Start date", "End date"),
            ("Gültig ab", "Gültig bis"),
            ("Gyldig fra", "Gyldig til"),
            ("Giltig från", "Giltig till"),
            ("Valable à partir du", "Valable jusqu'au"),
            ("Válido desde", "Válido hasta"),
            ("Geldig vanaf", "Geldig tot en met"),
            ("Fecha de inicio", "Fecha de fin"),
            ("Ważny od", "Ważny do"),
        ] {
            let found = Columns::find(&StringRecord::from(vec!["Mobile", "Mail", from, to]));
            let (columns, warnings) = found.unwrap();
            assert_eq!((columns.valid_from, columns.valid_to), (Some(2), Some(3)), "{from}, {to}");
            assert!(warnings.is_empty(), "{from}, {to}");
        }
    }
}
