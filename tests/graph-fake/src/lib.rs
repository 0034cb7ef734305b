//! A strict, stateful fake of the parts of Microsoft Graph that import uses.
