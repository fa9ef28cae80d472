//! Tests of the tree as a whole.

mod first;
