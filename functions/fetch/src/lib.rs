//! The function that a timer starts: puts the ids of new items on the convert queue.
