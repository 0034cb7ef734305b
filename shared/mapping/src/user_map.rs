//! The operator's table of mobile numbers and mailbox addresses.

use std::{
    collections::{BTreeMap, HashMap, HashSet, hash_map::Entry},
    fmt,
};

use csv::{ReaderBuilder, StringRecord};
use jiff::Timestamp;
use model::{MailboxAddress, Participant};
use phone::{PhoneNumber, Region};

use crate::{
    Column, Problem, UserMapErrors, Warning,
    columns::Columns,
    period::{Period, looks_like_a_date},
};

/// Maps mobile numbers to mailboxes. Personal data: `Debug` shows only the count.
#[derive(Clone, Default)]
pub struct UserMap {
    /// Each number in every form that WhatsApp may use.
    entries: HashMap<PhoneNumber, Mapped>,
    numbers: usize,
    /// Rows with a period.
    period_rows: usize,
    /// Headers of the columns that are not read.
    ignored_columns: Vec<String>,
    warnings: Vec<Warning>,
    default_region: Option<Region>,
}

#[derive(Clone)]
struct Mapped {
    address: MailboxAddress,
    /// First line with this number and address.
    line: u64,
    /// `None`: valid at any time. Boxed, because few rows have one.
    period: Option<Box<Period>>,
    /// The number's next row, for another period.
    next: Option<Box<Mapped>>,
}

impl Mapped {
    fn period(&self) -> Period {
        self.period.as_deref().copied().unwrap_or_default()
    }

    /// Returns this row and the number's other rows.
    fn rows(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |row| row.next.as_deref())
    }
}

impl UserMap {
    /// Maximum size of the file: 32 MiB.
    pub const MAX_BYTES: usize = 32 << 20;
    /// Maximum number of rows, without the header.
    pub const MAX_ROWS: u64 = 1_000_000;
    /// Maximum number of rows of one number, for different periods.
    pub const MAX_ROWS_OF_NUMBER: usize = 100;
    /// Maximum number of cells in a row.
    pub const MAX_COLUMNS: usize = 256;
    /// Maximum number of bytes in a cell, in every column.
    pub const MAX_CELL_BYTES: usize = 1024;

    /// Returns a map without numbers.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Reads a table: UTF-8, with or without a BOM, cells separated by `,`, `;` or tabs and quoted if necessary. The
    /// first row names the columns: the mobile number, the address, and optionally `valid_from` and `valid_to`; others
    /// are ignored. Numbers without a plus are read in `default_region`, see [`PhoneNumber::from_cell`]. A number may
    /// have several rows with different addresses if their periods do not overlap.
    ///
    /// # Errors
    /// [`UserMapErrors`], with every invalid row. A single invalid row rejects the file: a map that was read in part
    /// would file in the wrong mailbox or in none.
    pub fn parse(csv: &[u8], default_region: Option<Region>) -> Result<Self, UserMapErrors> {
        let text = decode(csv)?;
        let Header { separator, columns, warnings, mut lines } = read_header(text)?;
        let mut map = Self { default_region, warnings, ..Self::default() };
        let mut without_region = (0_u64, 0_u64);
        let mut dates = BTreeMap::<usize, (u64, u64)>::new();
        let mut errors = UserMapErrors { shown: Vec::new(), more: 0 };
        let mut reader =
            ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(text.as_bytes());
        let mut record = StringRecord::new();
        let mut rows = 0_u64;
        loop {
            let line = lines.next_record_at(reader.position().byte());
            match reader.read_record(&mut record) {
                Ok(true) => {}
                Ok(false) => break,
                Err(_) => return Err(UserMapErrors::single(line, Problem::NotUtf8)),
            }
            rows += 1;
            // The first record is the header.
            if rows == 1 {
                let ignored = record.iter().enumerate().filter(|(index, _)| !columns.contains(*index));
                map.ignored_columns = ignored.map(|(_, name)| name.trim().to_owned()).collect();
                continue;
            }
            if rows > Self::MAX_ROWS + 1 {
                return Err(UserMapErrors::single(line, Problem::TooManyRows));
            }
            if let Err(problem) = map.add(line, &record, columns) {
                errors.push(line, problem);
            }
            let cells = record.iter().take(Self::MAX_COLUMNS).enumerate();
            for (index, _) in cells.filter(|(_, cell)| looks_like_a_date(cell.trim())) {
                if !columns.contains(index) {
                    dates.entry(index).or_insert((0, line)).0 += 1;
                }
            }
            let phone = record.get(columns.phone).unwrap_or_default();
            if default_region.is_none() && !phone.trim().is_empty() && !PhoneNumber::is_international(phone) {
                without_region = (without_region.0 + 1, if without_region.0 == 0 { line } else { without_region.1 });
            }
        }
        if let (rows @ 1.., line) = without_region {
            map.warnings.push(Warning::NoRegion { rows, line });
        }
        for (index, (rows, line)) in dates {
            map.warnings.push(Warning::IgnoredDates { column: index + 1, rows, line });
        }
        if errors.count() == 0 { Ok(map) } else { Err(errors) }
    }

    fn add(&mut self, line: u64, record: &StringRecord, columns: Columns) -> Result<(), Problem> {
        check_cells(record)?;
        let cell = |index: usize| record.get(index).unwrap_or_default().trim();
        let (phone, address) = (cell(columns.phone), cell(columns.address));
        if record.iter().all(|cell| cell.trim().is_empty()) {
            return Ok(());
        }
        for (cell, column) in [(phone, Column::Phone), (address, Column::Address)] {
            if cell.is_empty() {
                return Err(Problem::Missing(column));
            }
        }
        let number = PhoneNumber::from_cell(phone, self.default_region)?;
        // An address may begin with an apostrophe, but in a table it is a spreadsheet's mark for text.
        if address.starts_with(['\'', '=']) {
            return Err(Problem::AddressMark);
        }
        let address: MailboxAddress = address.parse()?;
        let optional = |index: Option<usize>| index.map(cell).unwrap_or_default();
        let period = Period::parse(optional(columns.valid_from), optional(columns.valid_to))?;
        let earlier = number.variants().find_map(|variant| self.entries.get(&variant));
        for earlier in earlier.into_iter().flat_map(Mapped::rows) {
            if earlier.address == address && (earlier.period() == period || earlier.period().is_unlimited()) {
                return Ok(());
            }
            if earlier.address != address && earlier.period().overlaps(period) {
                let line = earlier.line;
                let unlimited = earlier.period().is_unlimited() && period.is_unlimited();
                return Err(if unlimited { Problem::Conflict { line } } else { Problem::Overlap { line } });
            }
        }
        if earlier.is_some_and(|first| first.rows().count() >= Self::MAX_ROWS_OF_NUMBER) {
            return Err(Problem::TooManyPeriods);
        }
        self.numbers += usize::from(earlier.is_none());
        self.period_rows += usize::from(!period.is_unlimited());
        let period = (!period.is_unlimited()).then(|| Box::new(period));
        for variant in number.variants() {
            let row = Mapped { address: address.clone(), line, period: period.clone(), next: None };
            match self.entries.entry(variant) {
                Entry::Vacant(entry) => drop(entry.insert(row)),
                Entry::Occupied(mut entry) => {
                    let first = entry.get_mut();
                    first.next = Some(Box::new(Mapped { next: first.next.take(), ..row }));
                }
            }
        }
        Ok(())
    }

    /// Returns the mailbox address of a number at a time, in any form of the number that WhatsApp uses.
    pub fn address_of(&self, number: &PhoneNumber, at: Timestamp) -> Option<&MailboxAddress> {
        let row = self.entries.get(number)?.rows().find(|row| row.period().contains(at))?;
        Some(&row.address)
    }

    /// Returns whether a number has rows, whatever their periods are.
    pub fn has_rows(&self, number: &PhoneNumber) -> bool {
        self.entries.contains_key(number)
    }

    /// Returns the mailbox address of a participant at the time of the message: by the captured phone number or, if it has
    /// no row, by the number in the WhatsApp id.
    pub fn address_of_participant(&self, participant: &Participant, at: Timestamp) -> Option<&MailboxAddress> {
        let (phone, id) = self.mapped_numbers(participant);
        self.address_of(&phone.or(id)?, at)
    }

    /// Returns whether the captured phone number and the number in the WhatsApp id belong to different mailboxes. The phone
    /// number's is used.
    pub fn is_contradicted(&self, participant: &Participant, at: Timestamp) -> bool {
        let (phone, id) = self.mapped_numbers(participant);
        let address = |number: Option<PhoneNumber>| self.address_of(&number?, at);
        matches!((address(phone), address(id)), (Some(by_phone), Some(by_id)) if by_phone != by_id)
    }

    /// Returns the captured phone number and the number in the WhatsApp id, each if it has a row.
    fn mapped_numbers(&self, participant: &Participant) -> (Option<PhoneNumber>, Option<PhoneNumber>) {
        if self.is_empty() {
            return (None, None);
        }
        let id_digits = Participant { phone: None, ..participant.clone() }.phone_digits();
        let id = id_digits.as_ref().and_then(|digits| PhoneNumber::parse(&format!("+{digits}"), None).ok());
        let phone = participant.phone.as_deref().and_then(|phone| {
            // Without its country code, a number may be read as one of another country. The WhatsApp id has the code.
            let is_national_form = id_digits.as_ref().is_some_and(|digits| is_national_form(phone, digits));
            if is_national_form { id } else { PhoneNumber::parse(phone, self.default_region).ok() }
        });
        let mapped = |number: Option<PhoneNumber>| number.filter(|number| self.has_rows(number));
        (mapped(phone), mapped(id))
    }

    /// Returns whether a row has a period, so that a number may belong to different mailboxes at different times.
    pub fn has_periods(&self) -> bool {
        self.period_rows > 0
    }

    /// Returns the number of rows that have a period.
    pub fn period_rows(&self) -> usize {
        self.period_rows
    }

    /// Returns the headers of the columns that are not read. Content of the file: for the operator's terminal only.
    pub fn ignored_columns(&self) -> &[String] {
        &self.ignored_columns
    }

    /// Returns valid content that may be a mistake.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Returns each mailbox once, with its first line. Personal data: for the operator's terminal only.
    pub fn mailboxes(&self) -> BTreeMap<&MailboxAddress, u64> {
        let mut first = BTreeMap::new();
        for mapped in self.entries.values().flat_map(Mapped::rows) {
            first
                .entry(&mapped.address)
                .and_modify(|line: &mut u64| *line = mapped.line.min(*line))
                .or_insert(mapped.line);
        }
        first
    }

    /// Returns the number and mailbox of each row, in the order of the file; a number with several periods is listed
    /// for each one. Personal data: for the operator's terminal only.
    pub fn people(&self) -> Vec<(PhoneNumber, &MailboxAddress)> {
        let mut by_line = BTreeMap::new();
        for (number, mapped) in
            self.entries.iter().flat_map(|(number, first)| first.rows().map(move |row| (number, row)))
        {
            // Always the same one of the forms of a number.
            let person = by_line.entry(mapped.line).or_insert((*number, &mapped.address));
            person.0 = person.0.min(*number);
        }
        by_line.into_values().collect()
    }

    /// Returns each number once, in one of its forms, with the mailboxes of its rows. Personal data.
    pub fn numbers(&self) -> impl Iterator<Item = (PhoneNumber, impl Iterator<Item = &MailboxAddress>)> {
        self.chains().map(|(number, first)| (number, first.rows().map(|row| &row.address)))
    }

    /// Returns the first row of each number, with the same one of the number's forms in every map.
    fn chains(&self) -> impl Iterator<Item = (PhoneNumber, &Mapped)> {
        let is_smallest = |number: PhoneNumber| number.variants().all(|variant| number <= variant);
        self.entries.iter().map(|(number, first)| (*number, first)).filter(move |(number, _)| is_smallest(*number))
    }

    /// Returns the number of people who have a mailbox at a time.
    pub fn numbers_at(&self, at: Timestamp) -> usize {
        self.chains().filter(|(_, first)| first.rows().any(|row| row.period().contains(at))).count()
    }

    /// Returns the number of rows with a period that only one of the two maps has.
    pub fn changed_period_rows(&self, other: &Self) -> usize {
        let (ours, theirs) = (self.limited_rows(), other.limited_rows());
        ours.symmetric_difference(&theirs).count()
    }

    fn limited_rows(&self) -> HashSet<(PhoneNumber, &MailboxAddress, Period)> {
        let rows = self.chains().flat_map(|(number, first)| first.rows().map(move |row| (number, row)));
        rows.filter(|(_, row)| row.period.is_some()).map(|(number, row)| (number, &row.address, row.period())).collect()
    }

    /// Returns the number of people whose number is mapped.
    pub fn len(&self) -> usize {
        self.numbers
    }

    /// Returns whether no number is mapped.
    pub fn is_empty(&self) -> bool {
        self.numbers == 0
    }
}

impl fmt::Debug for UserMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserMap").field("numbers", &self.numbers).finish_non_exhaustive()
    }
}

/// Returns whether a phone number without a plus may be the national form of a number, given by its digits.
fn is_national_form(phone: &str, digits: &str) -> bool {
    /// With fewer digits the match may be chance.
    const MIN_DIGITS: usize = 6;
    let national: String = phone.chars().filter(char::is_ascii_digit).collect();
    let national = national.trim_start_matches('0');
    !PhoneNumber::is_international(phone) && national.len() >= MIN_DIGITS && digits.ends_with(national)
}

/// Returns the file as UTF-8 without its BOM.
fn decode(csv: &[u8]) -> Result<&str, UserMapErrors> {
    if csv.len() > UserMap::MAX_BYTES {
        return Err(UserMapErrors::single(1, Problem::FileTooLarge));
    }
    // UTF-16 without a BOM is recognized by the zero bytes of its ASCII characters.
    if csv.starts_with(&[0xFF, 0xFE]) || csv.starts_with(&[0xFE, 0xFF]) || csv.iter().take(1024).any(|&byte| byte == 0)
    {
        return Err(UserMapErrors::single(1, Problem::Utf16));
    }
    let text = std::str::from_utf8(csv).map_err(|error| {
        let line = Lines::of(csv).next_record_at(error.valid_up_to() as u64);
        UserMapErrors::single(line, Problem::NotUtf8)
    })?;
    Ok(text.strip_prefix('\u{FEFF}').unwrap_or(text))
}

struct Header<'a> {
    separator: u8,
    columns: Columns,
    warnings: Vec<Warning>,
    lines: Lines<'a>,
}

/// Finds the separator: the one with which the header has both columns.
fn read_header(text: &str) -> Result<Header<'_>, UserMapErrors> {
    let mut problem = Problem::NoHeader;
    let mut cells = 0;
    let line = Lines::of(text.as_bytes()).next_record_at(0);
    for separator in [b',', b';', b'\t'] {
        let mut reader =
            ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(text.as_bytes());
        let mut record = StringRecord::new();
        if !reader.read_record(&mut record).unwrap_or(false) {
            return Err(UserMapErrors::single(1, Problem::NoHeader));
        }
        match check_cells(&record).and_then(|()| Columns::find(&record)) {
            Ok((columns, warnings)) => {
                return Ok(Header { separator, columns, warnings, lines: Lines::of(text.as_bytes()) });
            }
            // The separator that yields most cells is the file's own, so its error is the one to report.
            Err(wrong) if record.len() > cells => (problem, cells) = (wrong, record.len()),
            Err(_) => {}
        }
    }
    Err(UserMapErrors::single(line, problem))
}

fn check_cells(record: &StringRecord) -> Result<(), Problem> {
    if record.len() > UserMap::MAX_COLUMNS {
        return Err(Problem::TooManyCells);
    }
    if record.iter().any(|cell| cell.len() > UserMap::MAX_CELL_BYTES) {
        return Err(Problem::CellTooLong);
    }
    if record.iter().any(|cell| cell.contains(['\n', '\r'])) {
        return Err(Problem::LineBreak);
    }
    Ok(())
}

/// Counts lines as an editor does. The csv reader's own count excludes blank lines and the line ends of old Macs (CR).
struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
    line: u64,
}

impl<'a> Lines<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, line: 1 }
    }

    /// Returns the line of the first record at `offset` or after blank lines there. Offsets must not decrease.
    fn next_record_at(&mut self, offset: u64) -> u64 {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        while let Some(&byte) = self.bytes.get(self.at) {
            if self.at >= offset && !matches!(byte, b'\n' | b'\r') {
                break;
            }
            let ends = byte == b'\n' || (byte == b'\r' && self.bytes.get(self.at + 1) != Some(&b'\n'));
            self.line += u64::from(ends);
            self.at += 1;
        }
        self.line
    }
}
