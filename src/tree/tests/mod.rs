//! Tests of the tree as a whole.

mod first;
mod model;
mod naive;
mod stress;
