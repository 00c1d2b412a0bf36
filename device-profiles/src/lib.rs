//! Which board this is, and what it can hold.
