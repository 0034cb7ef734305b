//! RSMF files of generated and of golden items, and what other programs read in them.

mod files;
mod hostile;
mod kinds;
mod planned;
mod support;
