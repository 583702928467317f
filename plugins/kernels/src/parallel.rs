//! Work on chunks of rows by several threads, with a result that does not depend on how many.
//!
//! Floating-point sums depend on their order. So the borders of the chunks follow from the number of
//! rows alone, a chunk is summed by one thread from its first row to its last, and the caller adds
//! the chunks' sums in the order of the chunks.

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
/// Each thread takes a run of neighbouring tasks: chunks of rows cost the same, so nothing would be
/// gained by handing them out one by one.
pub(crate) fn map<Task, Done>(
    tasks: Vec<Task>,
    threads: usize,
    work: impl Fn(Task) -> Done + Sync,
) -> Vec<Done>
where
    Task: Send,
    Done: Send,
{
    let threads = threads.clamp(1, tasks.len().max(1));
    if threads == 1 {
        return tasks.into_iter().map(work).collect();
    }
    let per_thread = tasks.len().div_ceil(threads);
    let mut results = Vec::with_capacity(tasks.len());
    let mut tasks = tasks.into_iter();
    std::thread::scope(|scope| {
        let work = &work;
        let mut helpers = Vec::with_capacity(threads);
        loop {
            let share: Vec<Task> = tasks.by_ref().take(per_thread).collect();
            if share.is_empty() {
                break;
            }
            helpers.push(scope.spawn(move || share.into_iter().map(work).collect::<Vec<_>>()));
        }
        for helper in helpers {
            match helper.join() {
                Ok(done) => results.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    results
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
