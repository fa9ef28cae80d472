//! Tests of the tree as a whole.

mod apply;
mod first;
mod model;
mod naive;
mod stress;
