//! The commands, with their help and examples.

use clap::Subcommand;

use super::{
    Approve, Backfill, Backup, Cancel, Collect, Deploy, Doctor, Drain, Export, Head, Health, Logs,
    OneRun, Policies, Report, Restore, Resume, Retire, Retry, Run, Runs, Sample, Server, Sql,
    StageHost, Stages, Submit, Tables, TokenCommand, Validate, Watch, WorkerArguments, Workflows,
};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a workflow file without running it.
    #[command(after_help = "Example:\n  marquetry validate workflows/retail.yaml")]
    Validate(Validate),
    /// Run a workflow to its end.
    #[command(
        after_help = "Examples:\n  marquetry run workflows/retail.yaml --set orders='mine/*.parquet' --set segments=6\n  marquetry run workflows/retail.yaml --output json | jq .status"
    )]
    Run(Run),
    /// Go on with a run that failed, was cancelled or was killed, from its last committed stages.
    #[command(after_help = "Example:\n  marquetry resume latest")]
    Resume(Resume),
    /// Serve as the coordinator of a cluster, until it is asked to stop.
    #[command(
        after_help = "Examples:\n  marquetry server\n  marquetry server --listen 0.0.0.0:7070 --url https://marquetry.example:7070 \\\n      --certificate cert.pem --key key.pem --tokens tokens.txt"
    )]
    Server(Server),
    /// Run stages for a coordinator, until it is asked to stop.
    ///
    /// The first signal drains the worker: what runs is finished, nothing new is taken. A second one ends
    /// it at once, and what ran goes to other workers.
    #[command(
        after_help = "Examples:\n  marquetry worker --coordinator http://127.0.0.1:7070\n  marquetry worker --coordinator https://a:7070,https://b:7070 --slots 8 --queue default --label zone=a"
    )]
    Worker(WorkerArguments),
    /// Hand a workflow to a coordinator to be run.
    #[command(
        after_help = "Examples:\n  marquetry submit workflows/retail.yaml --set segments=6 --wait\n  marquetry submit retail-segmentation --request-id nightly-2026-11-28"
    )]
    Submit(Submit),
    /// Watch a run of a coordinator to its end.
    #[command(after_help = "Example:\n  marquetry watch latest")]
    Watch(Watch),
    /// Ask a coordinator to stop a run.
    #[command(after_help = "Example:\n  marquetry cancel latest --reason 'wrong month'")]
    Cancel(Cancel),
    /// Let a coordinator go on with a run that failed or was cancelled, from its last committed stages.
    ///
    /// With `--from` an ended run is done again from some of its stages on, whether they succeeded or not.
    #[command(
        after_help = "Examples:\n  marquetry retry latest --wait\n  marquetry retry latest --from segments"
    )]
    Retry(Retry),
    /// Approve what a stage of kind wait/approval waits for, or reject it.
    #[command(
        after_help = "Examples:\n  marquetry approve latest send_offers\n  marquetry approve latest send_offers --reject --comment 'the discount is wrong'"
    )]
    Approve(Approve),
    /// Make workflow files the current versions of their names: for their schedules, and to be run by name.
    ///
    /// Runs that have begun stay on the version that they began with.
    #[command(
        after_help = "Example:\n  marquetry deploy workflows/retail.yaml --comment 'eight segments'"
    )]
    Deploy(Deploy),
    /// List the deployed workflows, or the versions of one.
    #[command(
        after_help = "Examples:\n  marquetry workflows\n  marquetry workflows retail-segmentation"
    )]
    Workflows(Workflows),
    /// Take a deployed workflow back: its schedules stop, its versions stay listed.
    #[command(after_help = "Example:\n  marquetry retire retail-segmentation")]
    Retire(Retire),
    /// List the schedules of the deployed workflows, with when each falls due.
    #[command(after_help = "Example:\n  marquetry schedules")]
    Schedules,
    /// Begin the runs that a schedule would have begun in a time that is past.
    ///
    /// Asking again begins no run twice.
    #[command(
        after_help = "Example:\n  marquetry backfill retail-segmentation --from 2026-11-01 --to 2026-11-08"
    )]
    Backfill(Backfill),
    /// Check journal, lake, ports and, where one is named, the cluster, and say what to do.
    ///
    /// Ends with 1 if something is not as it must be. Addresses are looked at as a server or a worker on this
    /// machine would be told them.
    #[command(
        after_help = "Examples:\n  marquetry doctor\n  marquetry doctor --coordinator https://marquetry.example:7070 --lake s3://bucket/prefix\n  marquetry doctor --listen 0.0.0.0:7070 --metrics 127.0.0.1:9464"
    )]
    Doctor(Doctor),
    /// Ask a server whether it is well, by the standard health service.
    ///
    /// Ends with 0 if it is, with 1 if it says that it is not, and with 3 if it does not answer.
    #[command(
        after_help = "Examples:\n  marquetry health http://127.0.0.1:7070\n  marquetry health --leads --coordinator https://marquetry.example:7070"
    )]
    Health(Health),
    /// List the workers of a cluster, with what they do.
    #[command(
        after_help = "Example:\n  marquetry workers --coordinator https://marquetry.example:7070"
    )]
    Workers,
    /// List the queues of a cluster, with what waits in them.
    #[command(after_help = "Example:\n  marquetry queues")]
    Queues,
    /// Let a worker finish what it runs, take nothing new, and end.
    #[command(after_help = "Example:\n  marquetry drain worker-4711-ab12 --reason 'a new version'")]
    Drain(Drain),
    /// Make tokens for clients and workers.
    #[command(subcommand)]
    Token(TokenCommand),
    /// Run stages for the worker that started this.
    #[command(hide = true)]
    StageHost(StageHost),
    /// Run parts of other workers' queries for the worker that started this.
    #[command(hide = true)]
    DataPlane,
    /// List runs, the latest first.
    #[command(
        after_help = "Examples:\n  marquetry runs --status failed\n  marquetry runs --all --workflow retail-segmentation --limit 100"
    )]
    Runs(Runs),
    /// Show a run: its stages, figures and outputs.
    #[command(after_help = "Example:\n  marquetry show latest")]
    Show(OneRun),
    /// Print what the stages of a run said.
    ///
    /// Where a coordinator is named, it is asked; otherwise they are read from the data folder or the lake.
    #[command(
        after_help = "Examples:\n  marquetry logs latest\n  marquetry logs latest segments --tail 20\n  marquetry logs latest --follow --coordinator https://marquetry.example:7070"
    )]
    Logs(Logs),
    /// Write a run's report, one self-contained HTML file.
    #[command(after_help = "Example:\n  marquetry report latest --out segments.html")]
    Report(Report),
    /// Print the first rows of an output or a published table.
    #[command(
        after_help = "Examples:\n  marquetry head latest/segments\n  marquetry head segments@3\n  marquetry head latest/orders/rejected -n 50"
    )]
    Head(Head),
    /// Write an output or a published table to a file of another format.
    #[command(
        after_help = "Examples:\n  marquetry export latest/segments --format csv --out segments.csv\n  marquetry export latest/segments --format ndjson | head"
    )]
    Export(Export),
    /// List the published tables, or show the versions of one.
    #[command(
        after_help = "Examples:\n  marquetry tables\n  marquetry tables show segments\n  marquetry head segments\n  marquetry export segments@3 --out segments.csv"
    )]
    Tables(Tables),
    /// List the policies, or show what one has learned.
    #[command(
        after_help = "Examples:\n  marquetry policies\n  marquetry policies show offers\n  marquetry policies show offers@3"
    )]
    Policies(Policies),
    /// Ask about runs in SQL: those that the journal holds and those that are archived in the lake.
    ///
    /// The tables are `runs`, `stages`, and `tables.NAME` for a published table. Where there is no journal, what
    /// is archived in the lake is there. Nothing can be changed.
    #[command(
        after_help = "Examples:\n  marquetry sql 'select state, count(*) from runs group by state'\n  marquetry sql \"select run, failure_message from runs where state = 'failed' order by finished_at desc\" --limit 20\n  marquetry sql 'select stage, avg(duration_s) from stages group by stage' --format csv\n  marquetry sql 'select count(*) from tables.segments'"
    )]
    Sql(Sql),
    /// Remove files of runs that nobody needs: of attempts that failed, and of what was done again.
    ///
    /// Files of live runs, of what stages gave, of published versions and of whatever those refer to stay, and
    /// so does everything of runs that neither the journal nor the archive knows.
    #[command(
        after_help = "Examples:\n  marquetry collect --dry-run\n  marquetry collect --older-than 7d\n  marquetry collect --keep-data-for 365d"
    )]
    Collect(Collect),
    /// Write the journal to a file, while servers go on.
    #[command(
        after_help = "Examples:\n  marquetry backup journal-2026-11-28.db\n  marquetry backup journal.db --journal postgres://user@host/database"
    )]
    Backup(Backup),
    /// Put a backup in the place of a journal, of either kind, while no server uses it.
    ///
    /// Whoever worked with the journal before, servers and workers, is shut out: they must be started again.
    #[command(
        after_help = "Examples:\n  marquetry restore journal-2026-11-28.db\n  marquetry restore journal.db --journal postgres://user@host/database --force"
    )]
    Restore(Restore),
    /// List the stage kinds, or show one with its options.
    #[command(
        after_help = "Examples:\n  marquetry stages\n  marquetry stages show segmentation/kmeans"
    )]
    Stages(Stages),
    /// Make sample data.
    #[command(subcommand)]
    Sample(Sample),
    /// Print the JSON Schema of workflow files, for editors.
    #[command(
        after_help = "Example:\n  marquetry schema > workflow.schema.json\n\nthen, as the first line of a workflow file:\n  # yaml-language-server: $schema=workflow.schema.json"
    )]
    Schema,
    /// Print a completion script for a shell.
    #[command(
        after_help = "Example:\n  marquetry completions bash > ~/.local/share/bash-completion/completions/marquetry"
    )]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}
