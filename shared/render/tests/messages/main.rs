//! Messages as mail programs see them: the committed ones, and hostile ones made up on the spot. Each is read again by
//! parsers that share no code with the builder.

mod golden;
mod hostile;
mod layout;
mod promises;
mod readers;
