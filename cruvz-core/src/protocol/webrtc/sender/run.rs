//! One segmented send: datagrams of the same length, and a last one that may be shorter.

/// The kernel's limits of one segmented send, in segments and in bytes.
const MAX_SEGMENTS: usize = 64;
const MAX_BYTES: usize = 65_507;

/// What a buffer was filled with: datagrams of the same length one behind the other, of which only the last may be
/// shorter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Bytes of each datagram but the last.
    pub segment_size: usize,
    /// How many datagrams.
    pub segments: usize,
}

/// A buffer that is being filled with a [`Run`].
pub(super) struct RunWriter<'a> {
    out: &'a mut Vec<u8>,
    run: Run,
    /// A shorter datagram was the last.
    closed: bool,
}

impl<'a> RunWriter<'a> {
    /// Begins a run in `out`, whatever that held.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        out.clear();
        Self { out, run: Run::default(), closed: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.run.segments == 0
    }

    /// Whether a datagram of `bytes` may follow.
    pub(super) fn fits(&self, bytes: usize) -> bool {
        let same = self.is_empty() || bytes <= self.run.segment_size;
        !self.closed && same && self.run.segments < MAX_SEGMENTS && self.out.len() + bytes <= MAX_BYTES
    }

    /// Appends what `write` writes, which [`Self::fits`] found to fit; its length.
    pub(super) fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> usize {
        let before = self.out.len();
        write(self.out);
        let bytes = self.out.len() - before;
        if bytes > 0 {
            self.closed = !self.is_empty() && bytes < self.run.segment_size;
            self.run.segment_size = self.run.segment_size.max(bytes);
            self.run.segments += 1;
        }
        bytes
    }

    /// The run, if it is one.
    pub(super) fn finish(self) -> Option<Run> {
        (!self.is_empty()).then_some(self.run)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(run: &mut RunWriter<'_>, bytes: usize) -> bool {
        let fits = run.fits(bytes);
        if fits {
            assert_eq!(run.push(|out| out.resize(out.len() + bytes, 0)), bytes);
        }
        fits
    }

    #[test]
    fn a_shorter_datagram_ends_a_run_and_a_longer_one_begins_another() {
        let mut out = vec![1, 2, 3];
        let mut run = RunWriter::new(&mut out);
        assert!(push(&mut run, 100) && push(&mut run, 100) && !push(&mut run, 101) && push(&mut run, 40));
        assert!(!push(&mut run, 40));
        assert_eq!(run.finish(), Some(Run { segment_size: 100, segments: 3 }));
        assert_eq!(out.len(), 240);
    }

    #[test]
    fn a_run_is_no_longer_than_the_kernel_cuts() {
        let mut out = Vec::new();
        let mut run = RunWriter::new(&mut out);
        assert_eq!((0..100).filter(|_| push(&mut run, 100)).count(), MAX_SEGMENTS);
        let mut run = RunWriter::new(&mut out);
        assert_eq!((0..100).filter(|_| push(&mut run, 1_216)).count(), 53);
        assert!(out.len() <= MAX_BYTES);
        assert_eq!(RunWriter::new(&mut out).finish(), None);
    }
}
