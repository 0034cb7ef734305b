//! Golden messages and generated hostile ones. Parsers of other projects read each of them.

mod copies;
mod golden;
mod hostile;
mod layout;
mod promises;
mod readers;
