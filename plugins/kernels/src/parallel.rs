//! Work on chunks of rows by several threads, with a result that does not depend on how many.
//!
//! Floating-point sums depend on their order. So the borders of the chunks follow from the number of
//! rows alone, a chunk is summed by one thread from its first row to its last, and the caller adds
//! the chunks' sums in the order of the chunks.

use std::sync::{Mutex, PoisonError};

/// The fewest rows that are worth a chunk of their own.
const MIN_CHUNK: usize = 1024;

/// The most chunks, so that what chunks leave to be added stays small.
const MAX_CHUNKS: usize = 256;

/// How many rows make a chunk, of `rows` in all. It must not depend on the number of threads.
pub(crate) fn chunk_rows(rows: usize) -> usize {
    rows.div_ceil(MAX_CHUNKS).max(MIN_CHUNK)
}

/// Does the tasks on at most `threads` threads and gives the results in the order of the tasks.
///
/// Threads take the tasks one by one, the next that is left: chunks of rows may cost unlike, as where
/// bounds spare work.
pub(crate) fn map<Task, Done>(
    tasks: Vec<Task>,
    threads: usize,
    work: impl Fn(Task) -> Done + Sync,
) -> Vec<Done>
where
    Task: Send,
    Done: Send,
{
    let count = tasks.len();
    let threads = threads.clamp(1, count.max(1));
    if threads == 1 {
        return tasks.into_iter().map(work).collect();
    }
    let left = Mutex::new(tasks.into_iter().enumerate());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let mut results = Vec::with_capacity(count);
    std::thread::scope(|scope| {
        let helper = || {
            let mut done = Vec::new();
            while let Some((number, task)) = next() {
                done.push((number, work(task)));
            }
            done
        };
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(helper)).collect();
        results.extend(helper());
        for helper in helpers {
            match helper.join() {
                Ok(done) => results.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    results.sort_unstable_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, done)| done).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_tasks() {
        let expected: Vec<usize> = (0..23).map(|task| task * task).collect();
        for threads in [0, 1, 2, 5, 64] {
            assert_eq!(
                map((0..23).collect(), threads, |task: usize| task * task),
                expected
            );
        }
        assert!(map(Vec::<usize>::new(), 4, |task| task).is_empty());
    }

    #[test]
    fn chunks_are_few_and_not_tiny() {
        assert_eq!(chunk_rows(10), MIN_CHUNK);
        assert!(10_000_000_usize.div_ceil(chunk_rows(10_000_000)) <= MAX_CHUNKS);
    }
}
