//! Messages as mail programs see them: the committed ones, and generated hostile ones. Other projects' parsers read each of
//! them.

mod copies;
mod golden;
mod hostile;
mod layout;
mod promises;
mod readers;
