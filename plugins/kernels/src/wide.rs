//! Inner loops compiled for every processor of the architecture, and again for AVX2 and AVX-512.
//!
//! The wide forms do the same additions and multiplications in the same order, four or eight numbers
//! to an instruction instead of two. Fused multiply-add is left out on purpose: it rounds once where the
//! narrow form rounds twice, and a result would depend on the machine.

/// An inner loop. Implementations mark `run` as `#[inline(always)]`, so that it is compiled anew
/// into its callers here, with their instruction sets.
pub(crate) trait Loop {
    /// What it gives.
    type Output;

    /// Runs it.
    fn run(self) -> Self::Output;
}

/// Runs a loop with the widest instructions that the processor has.
pub(crate) fn run<L: Loop>(work: L) -> L::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx512f") {
            #[expect(unsafe_code, reason = "the processor was asked just above")]
            return unsafe { run_avx512(work) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "the processor was asked just above")]
            return unsafe { run_avx2(work) };
        }
    }
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn run_avx2<L: Loop>(work: L) -> L::Output {
    work.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn run_avx512<L: Loop>(work: L) -> L::Output {
    work.run()
}
