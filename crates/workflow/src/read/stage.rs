//! One stage: what it uses, with what, after what, when, and how often.

use std::collections::BTreeSet;

use marquetry_types::{StageDescriptor, StageKind, StageName, codes};

use super::graph::Needs;
use super::policy::Policy;
use super::throttle::GroupOf;
use super::{Context, Reader, keys, publish, there_are};
use crate::control::{control_descriptor, control_descriptors};
use crate::options::SchemaView;
use crate::words::{quoted, suggestion};
use crate::yaml::{Entry, Node, Span, Yaml};
use crate::{Stage, Throttle};

/// What is known of a stage before its references are looked at.
pub(super) struct Header<'n, 'c> {
    pub(super) entry: &'n Entry,
    pub(super) entries: &'n [Entry],
    name: Option<StageName>,
    kind: Option<StageKind>,
    uses_span: Span,
    pub(super) descriptor: Option<&'c StageDescriptor>,
}

impl Header<'_, '_> {
    /// Where the kind stands, or the stage where it has none.
    pub(super) const fn uses_span(&self) -> Span {
        self.uses_span
    }

    /// The kind, if no worker does it.
    pub(super) fn control(&self) -> Option<&'static str> {
        let own = control_descriptor(self.kind.as_ref()?.as_str())?;
        Some(own.kind.as_str())
    }
}

impl Reader<'_> {
    pub(super) fn stage_header<'n, 'c>(
        &mut self,
        entry: &'n Entry,
        context: &Context<'c>,
    ) -> Header<'n, 'c> {
        let mut header = Header {
            entry,
            entries: &[],
            name: self.check_name(entry, "stage"),
            kind: None,
            uses_span: entry.key_span,
            descriptor: None,
        };
        let what = format!("the stage `{}`", entry.key);
        let example = format!("{}: {{ uses: ingest/files }}", entry.key);
        if matches!(entry.value.value, Yaml::Null) {
            let message = format!("{what} is empty");
            self.error(
                entry.key_span,
                codes::MISSING_KEY,
                &message,
                &format!("write it as in `{example}`"),
            );
            return header;
        }
        header.entries = self.map(&entry.value, &what, &example);
        if !matches!(entry.value.value, Yaml::Map(_)) {
            return header;
        }
        let Some(uses) = header.entries.iter().find(|field| field.key == "uses") else {
            if keys::is_misspelt(header.entries, &keys::STAGE, "uses") {
                return header;
            }
            let message = format!("{what} has no `uses`");
            let help = "add `uses:` with the kind of the stage, as in `uses: ingest/files`";
            self.error(entry.key_span, codes::MISSING_KEY, &message, help);
            return header;
        };
        header.uses_span = uses.value.span;
        let Some(text) = self.text(&uses.value, "`uses`") else {
            return header;
        };
        let descriptor = context.catalogue.descriptor(text);
        header.descriptor = descriptor.or_else(|| control_descriptor(text));
        match header.descriptor {
            Some(descriptor) => header.kind = Some(descriptor.kind.clone()),
            None => self.unknown_kind(&uses.value, text, context),
        }
        header
    }

    fn unknown_kind(&mut self, node: &Node, kind: &str, context: &Context<'_>) {
        if self.is_full() {
            self.error(node.span, codes::UNKNOWN_STAGE_KIND, "", "");
            return;
        }
        let mut kinds = context.catalogue.kinds();
        kinds.extend(control_descriptors().iter().map(|own| own.kind.as_str()));
        // `kmeans` for `segmentation/kmeans`.
        let last_part = |known: &&&str| known.rsplit('/').next() == kind.rsplit('/').next();
        let help = match kinds.iter().find(last_part) {
            Some(known) => format!("did you mean `{known}`?"),
            None => suggestion(
                kind,
                kinds.iter().copied(),
                "`marquetry stages` lists them:",
            )
            .unwrap_or_else(|| "no stage kinds are installed".to_owned()),
        };
        let message = format!("there is no stage kind {}", quoted(kind));
        self.error(node.span, codes::UNKNOWN_STAGE_KIND, &message, &help);
    }

    pub(super) fn stage(
        &mut self,
        header: &Header<'_, '_>,
        workflow: &str,
        defaults: &Policy,
        context: &mut Context<'_>,
        needs: &mut Needs,
    ) -> Option<Stage> {
        let own = header.entry.key.as_str();
        let mut policy = Policy::default();
        let mut description = None;
        let mut condition = None;
        let mut with = None;
        let mut publish = Vec::new();
        let mut for_each = None;
        let mut cache = None;
        let mut throttles = Vec::new();
        for entry in header.entries {
            match entry.key.as_str() {
                "uses" => {}
                "with" => with = Some(entry),
                "needs" => self.needs(&entry.value, own, context, needs),
                "if" => condition = self.condition(&entry.value, own, context, needs),
                "for_each" => for_each = self.for_each(entry, header, context, needs),
                "publish" => publish = self.publish(entry, header),
                "cache" => cache = Some(entry),
                "description" => description = self.description(&entry.value),
                // They read `item`, as `with` does.
                "concurrency" | "rate" => throttles.push(entry),
                _ if self.policy_key(entry, &mut policy) => {}
                _ => {
                    let advice = self.option_advice(entry, header);
                    self.unknown_key_with(entry, &keys::STAGE, advice);
                }
            }
        }
        let for_each_span = header.entries.iter().find(|it| it.key == "for_each");
        context.has_item = for_each_span.is_some();
        context.has_secrets = header.control().is_none();
        context.files.of_stage.clear();
        let with = self.with(with, header, context, needs);
        context.has_secrets = false;
        let cache = cache.and_then(|entry| self.cache(entry, header, with.as_ref(), context));
        for entry in throttles {
            let mut of = GroupOf::Stage {
                header,
                context,
                needs,
            };
            self.throttling_key(entry, &mut policy.throttling, &mut of);
        }
        context.has_item = false;
        let taught = with.as_ref().and_then(publish::taught);
        if let (Some(entry), Some(_)) = (for_each_span, &taught) {
            let message = "a stage that teaches a policy cannot run once for each item";
            let help = "its attempts would overtake one another; teach from all rows in one stage";
            self.error(entry.key_span, codes::WRONG_VALUE, message, help);
        }
        publish.extend(taught);
        let mut timeout = policy.timeout.or(defaults.timeout);
        let mut stage_timeout = policy.stage_timeout.or(defaults.stage_timeout);
        // What no worker does has no attempts: its timeout is that of the stage.
        let mut throttle =
            policy
                .throttling
                .throttle(&defaults.throttling, workflow, header.entry.key.as_str());
        if control_descriptor(header.kind.as_ref()?.as_str()).is_some() {
            throttle = Throttle::default();
            stage_timeout = policy.stage_timeout.or(policy.timeout);
            timeout = None;
        }
        Some(Stage {
            name: header.name.clone()?,
            description,
            uses: header.kind.clone()?,
            version: header.descriptor.map_or(0, |descriptor| descriptor.version),
            with: with?,
            needs: declared(needs, context),
            condition,
            for_each,
            retry: policy.retry(defaults),
            timeout,
            stage_timeout,
            placement: policy.placing.placement(&defaults.placing),
            throttle,
            memory: policy.memory.or(defaults.memory),
            parallelism: policy
                .parallelism
                .or(defaults.parallelism)
                .unwrap_or_default(),
            outputs: header.descriptor.map_or_else(Vec::new, |descriptor| {
                descriptor
                    .outputs
                    .iter()
                    .map(|output| output.name.clone())
                    .collect()
            }),
            publish,
            cache,
        })
    }

    /// For a key that is an option of the stage's kind, and so stands one level too high.
    fn option_advice(&self, entry: &Entry, header: &Header<'_, '_>) -> Option<String> {
        let descriptor = header.descriptor?;
        let view = SchemaView::new(&descriptor.options);
        view.properties(&view.root())
            .contains(&entry.key.as_str())
            .then(|| {
                format!(
                    "it is an option of `{}`: put it under `with`",
                    descriptor.kind
                )
            })
    }

    fn needs(&mut self, node: &Node, own: &str, context: &Context<'_>, needs: &mut Needs) {
        let items = match &node.value {
            Yaml::Null => return,
            Yaml::List(items) => items.as_slice(),
            Yaml::Text { .. } => std::slice::from_ref(node),
            _ => {
                self.wrong(
                    node,
                    "`needs` must be a list of stages",
                    "write it as in `needs: [orders]`",
                );
                return;
            }
        };
        for item in items {
            if let Some(name) = self.text(item, "the name of a stage") {
                if name == own {
                    let message = format!("the stage `{own}` needs itself");
                    self.error(
                        item.span,
                        codes::CYCLE,
                        &message,
                        "remove it from its own `needs`",
                    );
                } else if context.stages.contains_key(name) {
                    needs.add(name);
                } else {
                    self.unknown_stage(name, item.span, context);
                }
            }
        }
    }

    /// The error of a reference to a stage that is not declared.
    pub(super) fn unknown_stage(&mut self, name: &str, span: Span, context: &Context<'_>) {
        let help = if self.is_full() {
            None
        } else {
            let names = context.stages.keys().map(String::as_str);
            suggestion(name, names.clone(), "the stages are")
                .or_else(|| Some(there_are("stages", names)))
        };
        let message = format!("there is no stage {}", quoted(name));
        self.error(
            span,
            codes::UNKNOWN_REFERENCE,
            &message,
            &help.unwrap_or_default(),
        );
    }
}

/// The needs that are stages.
pub(super) fn declared(needs: &Needs, context: &Context<'_>) -> BTreeSet<StageName> {
    needs
        .names()
        .filter(|name| context.stages.contains_key(*name))
        .filter_map(|name| StageName::try_from(name.to_owned()).ok())
        .collect()
}
