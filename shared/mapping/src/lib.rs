//! Whose mailboxes an item goes to: the user map, then the item's own e-mail property.
