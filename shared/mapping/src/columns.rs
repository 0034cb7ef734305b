//! Which columns of a table hold the mobile number and the address.

use csv::StringRecord;

use crate::{Column, Problem};

/// Where the two columns are, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Columns {
    pub(crate) phone: usize,
    pub(crate) address: usize,
}

// Spellings in lower case, letters and digits only, without accents. The earlier list wins over the later one, because
// an address book's "Phone" is the desk's where there is a "Mobile" as well.
// "External User ID" and "Microsoft 365 User Mailbox" are the columns of the custom mapping that Microsoft's TeleMessage
// connector takes; customers bring that file along.

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
    /// Finds them in the header.
    pub(crate) fn of(header: &StringRecord) -> Result<Self, Problem> {
        let names: Vec<String> = header.iter().map(plain).collect();
        Ok(Self {
            phone: column(&names, [MOBILE, PHONE], Column::Phone)?,
            address: column(&names, [MAILBOX, EMAIL], Column::Address)?,
        })
    }
}

fn column(names: &[String], spellings: [&[&str]; 2], column: Column) -> Result<usize, Problem> {
    for spellings in spellings {
        let mut found = names.iter().enumerate().filter(|(_, name)| spellings.contains(&name.as_str()));
        match (found.next(), found.next()) {
            (Some((index, _)), None) => return Ok(index),
            (Some(_), Some(_)) => return Err(Problem::TwoColumns(column)),
            (None, _) => {}
        }
    }
    Err(Problem::NoColumn(column))
}

/// Letters and digits in lower case, without accents.
fn plain(name: &str) -> String {
    let plain = |char: char| match char {
        'á' | 'à' | 'â' | 'ã' | 'ä' | 'å' => 'a',
        'ç' => 'c',
        'é' | 'è' | 'ê' | 'ë' => 'e',
        'í' | 'ì' | 'î' | 'ï' => 'i',
        'ñ' => 'n',
        'ó' | 'ò' | 'ô' | 'õ' | 'ö' => 'o',
        'ú' | 'ù' | 'û' | 'ü' => 'u',
        _ => char,
    };
    // A combining accent is no letter and falls out by itself.
    name.chars().flat_map(char::to_lowercase).filter(|char| char.is_alphanumeric()).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(header: &[&str]) -> Result<(usize, usize), Problem> {
        Columns::of(&StringRecord::from(header)).map(|columns| (columns.phone, columns.address))
    }

    #[test]
    fn common_headers_are_understood() {
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
            assert_eq!(of(&header), Ok((0, 1)), "{header:?}");
        }
    }

    #[test]
    fn the_mobile_is_taken_where_there_is_a_desk_phone_too_and_nothing_is_guessed() {
        assert_eq!(of(&["Name", "Phone", "Mobile", "UPN", "Mailbox"]), Ok((2, 4)));
        assert_eq!(of(&["Mobile", "Cell", "E-mail"]), Err(Problem::TwoColumns(Column::Phone)));
        assert_eq!(of(&["Mobile", "E-mail", "UPN"]), Err(Problem::TwoColumns(Column::Address)));
        assert_eq!(of(&["Name", "E-mail"]), Err(Problem::NoColumn(Column::Phone)));
        assert_eq!(of(&["Phone", "Name"]), Err(Problem::NoColumn(Column::Address)));
    }
}
