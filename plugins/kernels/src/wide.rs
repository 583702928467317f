//! Inner loops compiled for every processor of the architecture, and again for AVX2 and AVX-512.
//!
//! The wide forms do the same additions and multiplications in the same order, four or eight numbers
//! to an instruction instead of two. Fused multiply-add is left out on purpose: it rounds once where the
//! narrow form rounds twice, and a result would depend on the machine. A [`FusedLoop`] may use it, because
//! what it gives does not depend on how it rounds.

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

/// An inner loop that may fuse multiplications with additions, because its output is the same if it does
/// not: it bounds its rounding, and decides otherwise what that leaves open.
pub(crate) trait FusedLoop {
    /// What it gives.
    type Output;

    /// Runs it; `FUSED` where the processor fuses. Elsewhere `mul_add` is a slow function.
    fn run<const FUSED: bool>(self) -> Self::Output;
}

/// Runs a loop with the widest instructions that the processor has.
pub(crate) fn run_fused<L: FusedLoop>(work: L) -> L::Output {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("fma") {
        if std::arch::is_x86_feature_detected!("avx512f") {
            #[expect(unsafe_code, reason = "the processor was asked just above")]
            return unsafe { run_fused_avx512(work) };
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            #[expect(unsafe_code, reason = "the processor was asked just above")]
            return unsafe { run_fused_avx2(work) };
        }
    }
    work.run::<{ cfg!(target_arch = "aarch64") }>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn run_fused_avx2<L: FusedLoop>(work: L) -> L::Output {
    work.run::<true>()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,fma")]
fn run_fused_avx512<L: FusedLoop>(work: L) -> L::Output {
    work.run::<true>()
}
