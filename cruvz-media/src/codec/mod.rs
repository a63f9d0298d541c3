//! Codec headers: configuration records and parameter sets, never pixels or samples.
