//! The command line: names, help and examples.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use marquetry_workflow::parse_duration;

use crate::telemetry::Telemetry;

const EXAMPLES: &str = "\
Examples:
  marquetry sample orders --rows 200000 --out data/orders    make realistic orders
  marquetry run workflows/retail.yaml                         run a workflow on them
  marquetry run retail.yaml --set segments=6                  with another parameter
  marquetry report latest                                     write its report
  marquetry head latest/segments                              look at an output

Exit codes: 0 succeeded, 1 the run failed, 2 bad input (nothing was started), 3 internal error.";

/// Customer segmentation workflows: from raw orders to segments, offers and reports.
#[derive(Debug, Parser)]
#[command(name = "marquetry", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Where runs and their data are kept.
    #[arg(long, global = true, env = "MARQUETRY_DATA_DIR", default_value = "marquetry-data", value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: PathBuf,
    /// Where the data itself is kept: a folder, or a URL such as s3://bucket/prefix, gs:// or az://
    /// [default: <data-dir>/lake].
    #[arg(long, global = true, env = "MARQUETRY_LAKE", value_name = "PLACE")]
    pub(crate) lake: Option<String>,
    /// Where the journal is kept: a SQLite file, or a URL such as postgres://user@host/database, which
    /// several servers can share [default: <data-dir>/journal.db].
    #[arg(
        long,
        global = true,
        env = "MARQUETRY_JOURNAL",
        hide_env_values = true,
        value_name = "PLACE"
    )]
    pub(crate) journal: Option<String>,
    /// How results are printed.
    #[arg(long, short, global = true, value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    /// Shows what the program does inside: `info`, `debug`, or filters such as
    /// `marquetry_worker=debug`.
    #[arg(
        long,
        global = true,
        env = "MARQUETRY_LOG",
        default_value = "error",
        hide_default_value = true
    )]
    pub(crate) log: String,
    #[command(flatten)]
    pub(crate) telemetry: Telemetry,
    #[command(flatten)]
    pub(crate) reach: Reach,
}

/// Which coordinator to speak with, and as whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct Reach {
    /// A coordinator's URL, as in http://127.0.0.1:7070; several, by commas, where others take over.
    #[arg(
        long,
        global = true,
        env = "MARQUETRY_COORDINATOR",
        value_delimiter = ',',
        value_name = "URL"
    )]
    pub(crate) coordinator: Vec<String>,
    /// A file with the token to show [or MARQUETRY_TOKEN].
    #[arg(long, global = true, env = "MARQUETRY_TOKEN_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) token_file: Option<PathBuf>,
    /// The authority that signed the coordinator's certificate, as PEM [default: the system's].
    #[arg(long, global = true, env = "MARQUETRY_AUTHORITY", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) authority: Option<PathBuf>,
    /// A certificate to show to the coordinator, as PEM.
    #[arg(long, global = true, env = "MARQUETRY_CLIENT_CERTIFICATE", value_name = "FILE", requires = "client_key", value_hint = ValueHint::FilePath)]
    pub(crate) client_certificate: Option<PathBuf>,
    /// The key of that certificate, as PEM.
    #[arg(long, global = true, env = "MARQUETRY_CLIENT_KEY", value_name = "FILE", requires = "client_certificate", value_hint = ValueHint::FilePath)]
    pub(crate) client_key: Option<PathBuf>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// One JSON document, for programs.
    Json,
}

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
    /// Check journal, lake and, where one is named, the cluster, and say what to do.
    ///
    /// Ends with 1 if something is not as it must be.
    #[command(
        after_help = "Examples:\n  marquetry doctor\n  marquetry doctor --coordinator https://marquetry.example:7070 --lake s3://bucket/prefix"
    )]
    Doctor,
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
    #[command(after_help = "Example:\n  marquetry runs --status failed")]
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

#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Workflow files.
    #[arg(required = true, value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// The workflow file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Sets a parameter; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// Approves whatever a stage waits for, without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) resources: Resources,
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
    /// Approves whatever a stage waits for, without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) resources: Resources,
}

/// What stages may use of this machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct Resources {
    /// Threads of a stage [default: one for each core].
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Stages that run at a time.
    #[arg(long, default_value_t = 2)]
    pub(crate) slots: u32,
    /// Memory of a stage that does not say how much it needs, in MiB; queries beyond it spill.
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    pub(crate) stage_memory: u64,
    /// A folder with a file for each secret that stages name; others are environment variables, MARQUETRY_SECRET_NAME.
    #[arg(long, env = "MARQUETRY_SECRETS_DIR", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) secrets_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Server {
    /// The address and port to listen on; port 0 takes a free one.
    #[arg(long, env = "MARQUETRY_LISTEN", default_value = "127.0.0.1:7070")]
    pub(crate) listen: String,
    /// The URL at which clients and workers reach it [default: the address it listens on].
    #[arg(long, env = "MARQUETRY_URL")]
    pub(crate) url: Option<String>,
    /// Its certificate, as PEM.
    #[arg(long, env = "MARQUETRY_CERTIFICATE", value_name = "FILE", requires = "key", value_hint = ValueHint::FilePath)]
    pub(crate) certificate: Option<PathBuf>,
    /// The key of its certificate, as PEM.
    #[arg(long, env = "MARQUETRY_KEY", value_name = "FILE", requires = "certificate", value_hint = ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
    /// The authority of clients' certificates, as PEM: whoever has none that it signed is kept out.
    #[arg(long, env = "MARQUETRY_CLIENT_AUTHORITY", value_name = "FILE", requires = "certificate", value_hint = ValueHint::FilePath)]
    pub(crate) client_authority: Option<PathBuf>,
    /// A file with the tokens that it takes, a line each, as `marquetry token new` prints them.
    #[arg(long, env = "MARQUETRY_TOKENS", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) tokens: Option<PathBuf>,
    /// The address and port at which it shows metrics and probes over plain HTTP [default: nowhere].
    #[arg(long, env = "MARQUETRY_METRICS", value_name = "HOST:PORT")]
    pub(crate) metrics: Option<String>,
    /// Lets everybody in who can reach it.
    #[arg(long, env = "MARQUETRY_INSECURE")]
    pub(crate) insecure: bool,
    #[command(flatten)]
    pub(crate) keep: Keep,
}

/// What a server keeps of runs that have ended.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "History")]
pub(crate) struct Keep {
    /// How long a finished run waits to be archived in the lake; sooner where many do.
    #[arg(long, env = "MARQUETRY_ARCHIVE_AFTER", default_value = "10m", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) archive_after: Duration,
    /// How long an archived run stays in the journal after it ended; `0s` keeps it for ever.
    #[arg(long, env = "MARQUETRY_KEEP_RUNS_FOR", default_value = "90d", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) keep_runs_for: Duration,
    /// How many finished runs stay in the journal at most; 0 keeps all.
    #[arg(
        long,
        env = "MARQUETRY_KEEP_RUNS",
        default_value_t = 0,
        value_name = "COUNT"
    )]
    pub(crate) keep_runs: u64,
    /// How often files that nobody needs are removed from the lake; `0s` for never.
    #[arg(long, env = "MARQUETRY_COLLECT_EVERY", default_value = "1d", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) collect_every: Duration,
    /// How old they must be.
    #[arg(long, env = "MARQUETRY_COLLECT_OLDER_THAN", default_value = "1d", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) collect_older_than: Duration,
    /// How long the data of a run is kept after it ended, unless it is published; `0s` keeps it for ever.
    #[arg(long, env = "MARQUETRY_KEEP_DATA_FOR", default_value = "0s", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) keep_data_for: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArguments {
    #[command(flatten)]
    pub(crate) resources: Resources,
    /// The beginning of its name; the rest makes it unique.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// A queue that it serves; may be repeated [default: default].
    #[arg(long, value_name = "QUEUE", value_delimiter = ',')]
    pub(crate) queue: Vec<String>,
    /// Something that stages may ask for; may be repeated.
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) label: Vec<String>,
    /// Where stages run.
    #[arg(long, value_enum, default_value_t = IsolationArgument::Process)]
    pub(crate) isolation: IsolationArgument,
    /// Seconds that a cancelled stage may take to end by itself before it is cut off.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    pub(crate) cancel_patience: u64,
    /// Seconds that what runs may take to end when the worker is asked to stop.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub(crate) drain_timeout: u64,
    #[command(flatten)]
    pub(crate) data_plane: DataPlaneArguments,
}

/// Whether and how a worker takes parts of other workers' queries.
#[derive(Debug, Args)]
#[command(next_help_heading = "Data plane")]
pub(crate) struct DataPlaneArguments {
    /// Takes parts of other workers' queries at this address and port; port 0 takes a free one.
    #[arg(long, env = "MARQUETRY_DATA_PLANE", value_name = "ADDRESS")]
    pub(crate) data_plane: Option<String>,
    /// The URL at which other workers reach it [default: the address it listens on].
    #[arg(
        long,
        env = "MARQUETRY_DATA_PLANE_URL",
        value_name = "URL",
        requires = "data_plane"
    )]
    pub(crate) data_plane_url: Option<String>,
    /// Memory of all these parts together, in MiB; queries beyond it spill.
    #[arg(
        long,
        env = "MARQUETRY_DATA_PLANE_MEMORY",
        default_value_t = 2048,
        value_name = "MIB"
    )]
    pub(crate) data_plane_memory: u64,
    /// Its certificate, as PEM; other workers know its authority by their `--authority`.
    #[arg(long, env = "MARQUETRY_DATA_PLANE_CERTIFICATE", value_name = "FILE", requires = "data_plane_key", value_hint = ValueHint::FilePath)]
    pub(crate) data_plane_certificate: Option<PathBuf>,
    /// The key of its certificate, as PEM.
    #[arg(long, env = "MARQUETRY_DATA_PLANE_KEY", value_name = "FILE", requires = "data_plane_certificate", value_hint = ValueHint::FilePath)]
    pub(crate) data_plane_key: Option<PathBuf>,
    /// Listens beyond this machine without TLS.
    #[arg(long, env = "MARQUETRY_INSECURE")]
    pub(crate) insecure: bool,
}

/// Where stages run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolationArgument {
    /// In processes of their own, which are limited and can be killed.
    Process,
    /// On threads of the worker: the least overhead, for stages that are trusted.
    Thread,
}

#[derive(Debug, Args)]
pub(crate) struct StageHost {
    /// Threads of a stage.
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Submit {
    /// The workflow file, or the name of a deployed workflow: NAME, or NAME@VERSION.
    #[arg(value_name = "FILE|NAME", value_hint = ValueHint::FilePath)]
    pub(crate) workflow: PathBuf,
    /// Sets a parameter; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    pub(crate) set: Vec<String>,
    /// A name for this request: however often it is sent, it is one run.
    #[arg(long)]
    pub(crate) request_id: Option<String>,
    /// The folder on the workers in which relative source paths start [default: where each was started].
    #[arg(long, value_hint = ValueHint::DirPath)]
    pub(crate) base_dir: Option<PathBuf>,
    /// Waits for the run's end and shows it.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
}

#[derive(Debug, Args)]
pub(crate) struct Cancel {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
    /// Why; it is shown where the run is shown.
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Retry {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
    /// A stage to be done again although it succeeded, with all that needs it; may be repeated.
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    pub(crate) from: Vec<String>,
    /// Waits for the run's end and shows it.
    #[arg(long)]
    pub(crate) wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Approve {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
    /// The stage that waits.
    pub(crate) stage: String,
    /// Rejects: the stage fails.
    #[arg(long)]
    pub(crate) reject: bool,
    /// What there is to say; it is shown where the run is shown.
    #[arg(long)]
    pub(crate) comment: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// Workflow files.
    #[arg(required = true, value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// What there is to say of these versions.
    #[arg(long)]
    pub(crate) comment: Option<String>,
    /// The folder in which relative source paths start, as the workers see it [default: each worker's own].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) base_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Workflows {
    /// The versions of this one.
    pub(crate) name: Option<String>,
    /// At most so many versions.
    #[arg(long, short = 'n', default_value_t = 20)]
    pub(crate) limit: u32,
}

#[derive(Debug, Args)]
pub(crate) struct Retire {
    /// The workflow.
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct Backfill {
    /// The workflow.
    pub(crate) name: String,
    /// Which of its schedules, where it has several.
    #[arg(long)]
    pub(crate) schedule: Option<String>,
    /// Where the time begins: a day in UTC, or an instant.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: String,
    /// Where it ends; the end is no part of it.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: String,
}

#[derive(Debug, Args)]
pub(crate) struct Health {
    /// The server [default: the first of `--coordinator`].
    pub(crate) url: Option<String>,
    /// Whether it is the one that leads.
    #[arg(long)]
    pub(crate) leads: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Drain {
    /// The worker, as `marquetry workers` names it.
    pub(crate) worker: String,
    /// Why; it stands in the worker's log.
    #[arg(long)]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token, and its line for the file of `marquetry server --tokens`.
    #[command(after_help = "Example:\n  marquetry token new --role operator --name ci")]
    New(NewToken),
}

#[derive(Debug, Args)]
pub(crate) struct NewToken {
    /// What its holder may do.
    #[arg(long, value_enum)]
    pub(crate) role: TokenRole,
    /// Whose it is, for people.
    #[arg(long)]
    pub(crate) name: String,
}

/// What the holder of a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TokenRole {
    /// Look at runs, logs and workers.
    Viewer,
    /// The same, and submit, cancel, retry and approve.
    Operator,
    /// The same, and drain workers.
    Admin,
    /// Attach as a worker, and nothing else.
    Worker,
}

#[derive(Debug, Args)]
pub(crate) struct OneRun {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
}

#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// Only runs with this status.
    #[arg(long, value_enum)]
    pub(crate) status: Option<Status>,
    /// Only runs of this workflow.
    #[arg(long)]
    pub(crate) workflow: Option<String>,
    /// At most so many.
    #[arg(long, short = 'n', default_value_t = 20)]
    pub(crate) limit: usize,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Status {
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

#[derive(Debug, Args)]
pub(crate) struct Logs {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
    /// Only this stage.
    pub(crate) stage: Option<String>,
    /// Goes on with what the stages say until the run has ended; with `--output json` one object a line.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Only the last so many of the lines that there are.
    #[arg(long, value_name = "LINES")]
    pub(crate) tail: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The run: its id, the beginning of one, or `latest`.
    pub(crate) run: String,
    /// Where to write it [default: <data-dir>/reports/<run>.html].
    #[arg(long, value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Tables {
    #[command(subcommand)]
    pub(crate) command: Option<TablesCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TablesCommand {
    /// Show the versions of a table, the newest first.
    Show {
        /// The table.
        name: String,
        /// At most so many versions.
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Policies {
    #[command(subcommand)]
    pub(crate) command: Option<PoliciesCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PoliciesCommand {
    /// Show what a policy has learned: its arms, their means by segment, and its history.
    Show {
        /// The policy, or a version of it: `offers`, `offers@3`.
        #[arg(value_name = "NAME[@VERSION]")]
        policy: String,
        /// At most so many versions of its history.
        #[arg(long, short = 'n', default_value_t = 20)]
        limit: usize,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Head {
    /// RUN/STAGE for a stage's first output, RUN/STAGE/OUTPUT for any; TABLE for the current version
    /// of a published table, TABLE@VERSION for any.
    #[arg(value_name = "DATASET")]
    pub(crate) dataset: String,
    /// How many rows.
    #[arg(short = 'n', long, default_value_t = 10)]
    pub(crate) rows: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Export {
    /// RUN/STAGE for a stage's first output, RUN/STAGE/OUTPUT for any; TABLE for the current version
    /// of a published table, TABLE@VERSION for any.
    #[arg(value_name = "DATASET")]
    pub(crate) dataset: String,
    /// The format.
    #[arg(long, value_enum, default_value_t = FileFormat::Csv)]
    pub(crate) format: FileFormat,
    /// The file; without it the rows go to the standard output.
    #[arg(long, value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,
}

/// Formats that rows can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileFormat {
    Csv,
    Ndjson,
    Parquet,
}

#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// One query.
    pub(crate) query: String,
    /// How rows are printed [default: a table, or with `--output json` JSON].
    #[arg(long, value_enum)]
    pub(crate) format: Option<RowFormat>,
    /// At most so many rows; 0 for all.
    #[arg(long, short = 'n', default_value_t = 1000)]
    pub(crate) limit: usize,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RowFormat {
    Table,
    Json,
    Csv,
}

#[derive(Debug, Args)]
pub(crate) struct Collect {
    /// Says what would be removed, and removes nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Leaves alone what is younger than this.
    #[arg(long, default_value = "1d", value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) older_than: Duration,
    /// Removes all data, too, of runs that ended longer ago than this, except for what is published.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub(crate) keep_data_for: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct Backup {
    /// The file, which must not be there yet.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Restore {
    /// The file that `marquetry backup` wrote.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Replaces a journal that has runs.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Stages {
    #[command(subcommand)]
    pub(crate) command: Option<StagesCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StagesCommand {
    /// Show a stage kind with its options.
    Show {
        /// The kind, as `uses` takes it.
        kind: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Sample {
    /// Make orders of a shop whose customers have habits to be found.
    #[command(
        after_help = "Example:\n  marquetry sample orders --rows 1000000 --seed 1 --out data/orders"
    )]
    Orders {
        /// Order lines.
        #[arg(long, default_value_t = 200_000)]
        rows: u64,
        /// The same seed makes the same orders.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The folder for the Parquet files; it must hold none yet.
        #[arg(long, default_value = "data/orders", value_hint = ValueHint::DirPath)]
        out: PathBuf,
    },
}
