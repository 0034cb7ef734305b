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
    /// First day or moment of the row's period.
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
        "the first row names no column for the {0}: name it \"{example}\"",
        example = match .0 {
            Column::Phone => "Mobile number",
            Column::Address => "E-mail address",
            Column::ValidFrom => "valid_from",
            Column::ValidTo => "valid_to",
        }
    )]
    NoColumn(Column),
    /// The first row names a column twice; which of the two is meant is not guessed.
    #[error("the first row names more than one column for the {0}: rename all but the one that is meant")]
    TwoColumns(Column),
    /// A cell of the row is empty or missing.
    #[error("the {0} is missing: fill it in, or take the row out")]
    Missing(Column),
    /// A cell that is too long to be anything that is read here.
    #[error("a cell has more than 1,024 bytes: look for a quotation mark that is not closed")]
    CellTooLong,
    /// A cell with a line break in it: rows may be hidden in it.
    #[error("a cell holds a line break: look for a quotation mark that is not closed, or take the break out")]
    LineBreak,
    /// More columns than [`UserMap::MAX_COLUMNS`](crate::UserMap::MAX_COLUMNS).
    #[error("the row has more than 256 cells")]
    TooManyCells,
    /// Invalid mobile number.
    #[error("the mobile number cannot be used: {0}")]
    Phone(#[from] PhoneError),
    /// Invalid address.
    #[error("the e-mail address cannot be used: {0}")]
    Address(#[from] AddressError),
    /// The address begins with a spreadsheet's mark of a text or a formula.
    #[error("the e-mail address begins with ' or =: take the mark off")]
    AddressMark,
    /// An earlier line has the number with another address. The same number in WhatsApp's other form of it (Mexico,
    /// Argentina, Brazil) counts as the same number.
    #[error("line {line} gives the same mobile number another e-mail address: keep the one that is right")]
    Conflict {
        /// The earlier line, from 1.
        line: u64,
    },
    /// As `Conflict`, where at least one of the two rows has a period.
    #[error(
        "line {line} gives the same mobile number another e-mail address for an overlapping period: change valid_from or \
         valid_to of one of them"
    )]
    Overlap {
        /// The earlier line, from 1.
        line: u64,
    },
    /// A cell of `valid_from` or `valid_to` is neither a date nor a timestamp.
    #[error("{0} is not a date: write it as 2026-01-31, or as a timestamp such as 2026-01-31T08:00:00Z")]
    Date(Column),
    /// The period ends before it begins.
    #[error("valid_to is before valid_from: correct one of them")]
    EmptyPeriod,
}

impl Problem {
    /// One word, for logs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::FileTooLarge => "file-too-large",
            Self::TooManyRows => "too-many-rows",
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

/// What is valid in a user map and may be a mistake. Holds no content of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Warning {
    /// Another column with phone numbers, which is not read.
    #[error("column {ignored} has phone numbers too and is ignored; only column {read} is read")]
    IgnoredPhoneColumn {
        /// From 1.
        ignored: usize,
        /// From 1.
        read: usize,
    },
    /// A column called only "Number" was taken for the phone number.
    #[error(
        "column {column} is called \"Number\" and is read as the mobile number: rename it if it holds employee numbers"
    )]
    NumberColumn {
        /// From 1.
        column: usize,
    },
    /// Numbers without + while no region is configured.
    #[error(
        "{rows} numbers are written without +, the first in line {line}, and are read as international: set DefaultRegion if \
         they are national numbers"
    )]
    NoRegion {
        /// How many rows.
        rows: u64,
        /// The first, from 1.
        line: u64,
    },
}

/// The error of one row. `Display` is for the operator who fixes the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct RowError {
    /// The line of the file that the row begins in, from 1.
    pub line: u64,
    /// What is wrong with it.
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
    /// How many rows' errors are kept; the others are counted.
    pub const SHOWN: usize = 100;

    pub(crate) fn one(line: u64, problem: Problem) -> Self {
        Self { shown: vec![RowError { line, problem }], more: 0 }
    }

    pub(crate) fn push(&mut self, line: u64, problem: Problem) {
        if self.shown.len() < Self::SHOWN {
            self.shown.push(RowError { line, problem });
        } else {
            self.more += 1;
        }
    }

    /// The first [`UserMapErrors::SHOWN`], in the order of the file.
    pub fn rows(&self) -> &[RowError] {
        &self.shown
    }

    /// Number of all invalid rows.
    pub fn count(&self) -> u64 {
        self.more + self.shown.len() as u64
    }

    /// For logs: the number of rows, and line and kind of the first few.
    pub fn log_safe(&self) -> String {
        let first: Vec<String> =
            self.shown.iter().take(5).map(|row| format!("line {} {}", row.line, row.problem.kind())).collect();
        format!("{} wrong rows, the first: {}", self.count(), first.join(", "))
    }
}

impl fmt::Display for UserMapErrors {
    /// A line a row.
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
