//! Errors and warnings of a user map.

use std::fmt;

use model::AddressError;
use phone::PhoneError;

/// A column that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Column {
    /// The mobile number.
    Phone,
    /// The mailbox's address.
    Address,
    /// First day, or first moment, of the row's period.
    ValidFrom,
    /// Last day, or end, of the row's period.
    ValidTo,
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Phone => "mobile number",
            Self::Address => "e-mail address",
            Self::ValidFrom => "valid_from",
            Self::ValidTo => "valid_to",
        })
    }
}

/// An error of the file, and how to fix it. Holds no content of the file. Permanent until the file is fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// More bytes than [`UserMap::MAX_BYTES`](crate::UserMap::MAX_BYTES).
    #[error("the file is larger than 32 MiB: keep only the columns for the mobile number and the e-mail address")]
    FileTooLarge,
    /// More rows than [`UserMap::MAX_ROWS`](crate::UserMap::MAX_ROWS).
    #[error("the file has more than 1,000,000 rows")]
    TooManyRows,
    /// More rows with one number than [`UserMap::MAX_ROWS_OF_NUMBER`](crate::UserMap::MAX_ROWS_OF_NUMBER).
    #[error("more than 100 rows have this mobile number: remove the rows of periods that are not needed")]
    TooManyPeriods,
    /// UTF-16, which spreadsheets call "Unicode text".
    #[error("the file is UTF-16: save it as \"CSV UTF-8\"")]
    Utf16,
    /// Invalid UTF-8: Latin-1 or a code page.
    #[error("the file is not UTF-8: save it as \"CSV UTF-8\"")]
    NotUtf8,
    /// No row at all.
    #[error(
        "the file is empty: the first row names the columns, \"Mobile number\" and \"E-mail address\" for instance"
    )]
    NoHeader,
    /// The first row does not name a column.
    #[error(
        "the first row has no column for the {0}: name it \"{example}\"",
        example = match .0 {
            Column::Phone => "Mobile number",
            Column::Address => "E-mail address",
            Column::ValidFrom => "valid_from",
            Column::ValidTo => "valid_to",
        }
    )]
    NoColumn(Column),
    /// The first row names a column twice. Neither is preferred.
    #[error("the first row has more than one column for the {0}: rename the others")]
    TwoColumns(Column),
    /// A cell of the row is empty or missing.
    #[error("the {0} is missing: fill it in or remove the row")]
    Missing(Column),
    /// A cell that is longer than any valid value.
    #[error("a cell has more than 1,024 bytes: check for an unclosed quotation mark")]
    CellTooLong,
    /// A cell with a line break, which may hide rows.
    #[error("a cell contains a line break: check for an unclosed quotation mark, or remove the line break")]
    LineBreak,
    /// More columns than [`UserMap::MAX_COLUMNS`](crate::UserMap::MAX_COLUMNS).
    #[error("the row has more than 256 cells")]
    TooManyCells,
    /// Invalid mobile number.
    #[error("invalid mobile number: {0}")]
    Phone(#[from] PhoneError),
    /// Invalid address.
    #[error("invalid e-mail address: {0}")]
    Address(#[from] AddressError),
    /// The address begins with a spreadsheet's mark for text or a formula.
    #[error("the e-mail address begins with ' or =: remove this character")]
    AddressMark,
    /// An earlier line has the number with another address. WhatsApp's form of a number (Mexico, Argentina, Brazil) and
    /// the dialled form are the same number.
    #[error("line {line} has the same mobile number with another e-mail address: keep the correct one")]
    Conflict {
        /// The earlier line, from 1.
        line: u64,
    },
    /// Like `Conflict`, but at least one of the two rows has a period.
    #[error(
        "line {line} has the same mobile number with another e-mail address for an overlapping period: change valid_from or \
         valid_to of one of them"
    )]
    Overlap {
        /// The earlier line, from 1.
        line: u64,
    },
    /// A cell of `valid_from` or `valid_to` is neither a date nor a timestamp.
    #[error("{0} is not a date: write a date such as 2026-01-31, or a timestamp such as 2026-01-31T08:00:00Z")]
    Date(Column),
    /// The period ends before it begins.
    #[error("valid_to is before valid_from: correct one of them")]
    EmptyPeriod,
}

impl Problem {
    /// Returns the kind of the error in one word, for logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FileTooLarge => "file-too-large",
            Self::TooManyRows => "too-many-rows",
            Self::TooManyPeriods => "too-many-periods",
            Self::Utf16 => "utf-16",
            Self::NotUtf8 => "not-utf-8",
            Self::NoHeader => "no-header",
            Self::NoColumn(_) => "no-column",
            Self::TwoColumns(_) => "two-columns",
            Self::Missing(_) => "missing",
            Self::CellTooLong => "cell-too-long",
            Self::LineBreak => "line-break",
            Self::TooManyCells => "too-many-cells",
            Self::Phone(_) => "phone",
            Self::Address(_) => "address",
            Self::AddressMark => "address-mark",
            Self::Conflict { .. } => "conflict",
            Self::Overlap { .. } => "overlap",
            Self::Date(_) => "date",
            Self::EmptyPeriod => "empty-period",
        }
    }
}

/// A warning about valid content of a user map that may be a mistake. Contains no content of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Another column with phone numbers, which is ignored.
    #[error("column {ignored} has phone numbers, too, and is ignored; only column {read} is used")]
    IgnoredPhoneColumn {
        /// From 1.
        ignored: usize,
        /// From 1.
        read: usize,
    },
    /// A column whose header names a period, and which is ignored.
    #[error(
        "column {column} seems to limit the time of a row, and is ignored: call it valid_from or valid_to if it does, or remove it"
    )]
    IgnoredPeriodColumn {
        /// From 1.
        column: usize,
    },
    /// A column with dates, which is ignored.
    #[error(
        "column {column} has dates in {rows} rows, the first in line {line}, and is ignored: call it valid_from or valid_to if it limits \
         the time of a row"
    )]
    IgnoredDates {
        /// From 1.
        column: usize,
        /// The number of such rows.
        rows: u64,
        /// The first of these lines, from 1.
        line: u64,
    },
    /// A column called only "Number" is used as the mobile number.
    #[error(
        "column {column} is called \"Number\" and is used as the mobile number: rename it if it contains employee numbers"
    )]
    NumberColumn {
        /// From 1.
        column: usize,
    },
    /// Numbers without + although no region is configured.
    #[error(
        "{rows} numbers are written without +, the first in line {line}, and are read as international: set DefaultRegion if \
         they are national numbers"
    )]
    NoRegion {
        /// The number of such rows.
        rows: u64,
        /// The first of these lines, from 1.
        line: u64,
    },
}

/// The error of one row. `Display` is for the operator who fixes the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct RowError {
    /// The line in which the row begins, from 1.
    pub line: u64,
    /// The error of the row.
    #[source]
    pub problem: Problem,
}

/// All errors of a rejected file, row by row. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserMapErrors {
    pub(crate) shown: Vec<RowError>,
    pub(crate) more: u64,
}

impl UserMapErrors {
    /// Maximum number of errors that are kept; further ones are only counted.
    pub const SHOWN: usize = 100;

    pub(crate) fn single(line: u64, problem: Problem) -> Self {
        Self { shown: vec![RowError { line, problem }], more: 0 }
    }

    pub(crate) fn push(&mut self, line: u64, problem: Problem) {
        if self.shown.len() < Self::SHOWN {
            self.shown.push(RowError { line, problem });
        } else {
            self.more += 1;
        }
    }

    /// Returns the first [`UserMapErrors::SHOWN`] errors, in the order of the file.
    pub fn rows(&self) -> &[RowError] {
        &self.shown
    }

    /// Returns the number of invalid rows.
    pub fn count(&self) -> u64 {
        self.more + self.shown.len() as u64
    }

    /// Returns a summary for logs: the number of rows, and line and kind of the first few.
    pub fn log_safe(&self) -> String {
        let first: Vec<String> =
            self.shown.iter().take(5).map(|row| format!("line {} {}", row.line, row.problem.kind())).collect();
        format!("{} invalid rows, the first: {}", self.count(), first.join(", "))
    }
}

impl fmt::Display for UserMapErrors {
    /// One line per row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, row) in self.shown.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{row}")?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more rows", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for UserMapErrors {}
