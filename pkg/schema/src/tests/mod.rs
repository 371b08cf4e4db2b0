//! Behaviour of schemas on objects, with the texts of a Kubernetes 1.36 API server.

mod builtin;
mod hostile;
mod objects;
mod ratchet;
