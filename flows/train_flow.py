"""Train, select and register a champion.

    python flows/train_flow.py run
    python flows/train_flow.py run --transactions paysim.csv --sample 0.1
    python flows/train_flow.py resume
    python flows/train_flow.py card view audit

Steps fetch, call, store and go on; what they call is in `fraud.training`. Steps pass paths; what a
run computes is in <data-dir>/runs/<run id>.
"""

import os
import sys
import time
import tomllib
from pathlib import Path

if {os.environ.get(name) for name in ("METAFLOW_USER", "SUDO_USER", "USERNAME", "USER")} <= {
        None, "", "root"}:
    os.environ["METAFLOW_USER"] = "trainer"     # Metaflow refuses to run for root and for nobody

from metaflow import (  # noqa: E402
    Config, FlowSpec, Parameter, card, current, resources, retry, step, timeout,
    user_step_decorator)
from metaflow.cards import Markdown  # noqa: E402
from metaflow.exception import METAFLOW_EXIT_DISALLOW_RETRY  # noqa: E402

import fraud  # noqa: E402, F401  (so that a remote step's code package holds it)


@user_step_decorator
def told(step_name, flow, inputs, attributes):
    """Turns the errors that a user can mend into one line without a stack trace, and no retry."""
    from fraud.bundle import BundleError
    from fraud.training.errors import TrainingError

    try:
        yield
    except (TrainingError, BundleError) as error:
        print(f"Cannot train: {error}", file=sys.stderr)
        sys.exit(METAFLOW_EXIT_DISALLOW_RETRY)


@user_step_decorator
def shares(step_name, flow, inputs, attributes):
    """Begins with what earlier steps left at `--shared`, and leaves there what is new."""
    from fraud.training import shared

    if not flow.shared:
        yield
        return
    shared.place(flow.shared, "")       # says what is wrong with it before anything is done
    fetched = {}
    if step_name != "start":
        workspace = Path((flow if inputs is None else inputs[0]).workspace)
        fetched = shared.fetch(shared.place(flow.shared, workspace.name), workspace)
    yield
    workspace = Path(flow.workspace)
    shared.keep(workspace, shared.place(flow.shared, workspace.name), fetched)


class TrainFlow(FlowSpec):
    """Transactions in, a registered champion out."""

    config = Config("settings", default=str(Path(__file__).with_suffix(".toml")),
                    parser=tomllib.loads, help="TOML file: hyperparameters, floors, gates")
    transactions = Parameter(
        "transactions", default=None, type=str,
        help="PaySim CSV, or CSV or Parquet with the columns of a payment: a path, or s3://, "
             "kaggle:// or hf:// OWNER/NAME/FILE "
             "(default: <data-dir>/transactions.parquet, simulated where it is absent)")
    sample = Parameter("sample", default=1.0, help="share of the accounts to use")
    rows = Parameter("rows", default=None, type=int, help="simulate this many payments instead")
    why = Parameter("why", default="", help="why the run was started: kept with its version")
    spark_master = Parameter("spark-master", default="local[*]", help="where Spark runs")
    data_dir = Parameter("data-dir", default="data",
                         help="folder for simulated payments and for what runs compute")
    shared = Parameter("shared", default=None, type=str,
                       help="s3://BUCKET/PREFIX that passes what runs compute from step to step, "
                            "where steps run on machines that share no disk")

    @resources(cpu=2, memory=16_000)
    @timeout(hours=1)
    @told
    @shares
    @card(type="blank")
    @step
    def start(self):
        """Validate the payments; bad rows go to quarantine."""
        from fraud.training import (
            acquire, assembly, cards, data_version, dataset, feature_job, settings)

        self.settings = settings.parse(self.config)
        feature_job.check_java()
        data, seed = self.settings.data, self.settings.seed
        self.workspace = str(Path(self.data_dir, "runs", current.run_id).absolute())
        self.git_commit, self.trained_at = assembly.git_commit(), time.time_ns() // 1_000_000
        source = acquire.acquire(self.transactions, self.rows, Path(self.data_dir), seed)
        self.data_md5 = data_version.dvc_md5(source)
        self.prepared = dataset.prepare(
            source, Path(self.workspace), sample=self.sample, max_bad_share=data.max_bad_share,
            label_delay_hours=data.label_delay_hours)
        dataset.check_both_classes(self.prepared)
        current.card.extend(cards.data(self.prepared))
        print(f"{self.prepared.sampled_rows:,} payments, {self.prepared.frauds:,} of them fraud, "
              f"{self.prepared.bad:,} rows in quarantine")
        self.next(self.features)

    @retry(times=1, minutes_between_retries=0)
    @resources(cpu=4, memory=16_000)
    @timeout(hours=4)
    @told
    @shares
    @step
    def features(self):
        """Compute the features of every payment with Spark, one folder a split, and once more those
        of the audit, without what was known later."""
        from fraud.training import feature_job, perturbation, splits

        self.ends = splits.borders(
            self.prepared.first_time, self.prepared.last_time, self.settings.split)
        self.features_path = str(Path(self.workspace, "features"))
        self.perturbed = perturbation.perturb(
            self.prepared.transactions, self.ends[splits.TRAIN], self.settings.audit.rows,
            Path(self.workspace, "perturbed.parquet"), self.settings.seed)
        self.perturbed_path = str(Path(self.workspace, "perturbed"))
        with feature_job.session(self.spark_master) as spark:
            for payments, folder in ((self.prepared.transactions, self.features_path),
                                     (self.perturbed.transactions, self.perturbed_path)):
                feature_job.write_features(spark, payments, folder, self.ends)
        self.next(self.train_xgboost, self.train_tensorflow)

    @retry(times=1, minutes_between_retries=0)
    @resources(cpu=4, memory=16_000)
    @timeout(hours=4)
    @told
    @shares
    @card(type="blank")
    @step
    def train_xgboost(self):
        """Gradient boosted trees, and the same without history as a fallback."""
        self._train("xgboost")
        self.next(self.select)

    @retry(times=1, minutes_between_retries=0)
    @resources(cpu=4, memory=16_000)
    @timeout(hours=4)
    @told
    @shares
    @card(type="blank")
    @step
    def train_tensorflow(self):
        """A multilayer perceptron, and the same without history as a fallback."""
        self._train("tensorflow")
        self.next(self.select)

    def _train(self, framework):
        from fraud.training import candidate, cards

        self.candidate = candidate.train(
            framework, self.features_path, self.prepared.transactions, self.ends,
            Path(self.workspace, framework), self.settings)
        current.card.extend(cards.training(self.candidate))

    @resources(cpu=1, memory=4_000)
    @timeout(hours=1)
    @told
    @shares
    @card(type="blank")
    @step
    def select(self, inputs):
        """The candidate with the higher F1 on late validation becomes the champion of the run."""
        from fraud.training import assembly, cards, judgement, reference, splits

        self.merge_artifacts(inputs, exclude=["candidate"])
        self.candidates = {branch.candidate.framework: branch.candidate for branch in inputs}
        self.champion = max(self.candidates, key=lambda framework: self.candidates[
            framework].metrics["validation_f1"])
        self.bundles = {framework: str(Path(self.workspace, framework, "bundle"))
                        for framework in self.candidates}
        for framework, directory in self.bundles.items():
            assembly.write(self.candidates[framework], self._lineage(), Path(directory))
        self.validated = str(Path(self.workspace, reference.FILE))
        reference.write(
            judgement.loaded(self.bundles[self.champion]),
            splits.read(self.features_path, self.prepared.transactions, splits.LATE, self.ends),
            Path(self.validated), self.settings.seed)
        current.card.extend(cards.selection(list(self.candidates.values()), self.champion))
        self.next(self.audit)

    @resources(cpu=2, memory=16_000)
    @timeout(hours=1)
    @told
    @shares
    @card(type="blank")
    @step
    def audit(self):
        """Block what leaks; judge both candidates and the standing champion on the test period,
        which is read only here."""
        from fraud.training import after_event, audit, cards, leakage, model_card, splits

        part = self.perturbed
        self.leakage = leakage.audit(
            str(Path(self.features_path, splits.FOLDER.format(splits.TRAIN))), self.perturbed_path,
            self.prepared.transactions, part, self.ends[splits.TRAIN], after_event.read(
                self.prepared.source, self.prepared.transactions, part.first, part.end,
                Path(self.workspace)), self.settings.audit, self.settings.seed)
        current.card.extend(cards.leakage(self.leakage, self.settings.audit))
        leakage.check(self.leakage)
        audited = audit.audit(
            self.features_path, self.prepared.transactions, self.ends, self.bundles, self.champion,
            Path(self.workspace, "standing"), self.settings)
        self.judgements, self.verdict = audited.judgements, audited.verdict
        self.model_card = model_card.model_card(
            self.prepared, self._lineage(), self.candidates[self.champion], audited, self.leakage)
        current.card.extend(cards.audit(list(self.judgements.values()), self.verdict))
        current.card.extend(cards.diagnosis(audited, self.settings.policy.review_cost))
        current.card.append(Markdown(self.model_card))
        self.next(self.register)

    @resources(cpu=1, memory=4_000)
    @timeout(hours=1)
    @told
    @shares
    @step
    def register(self):
        """Record the run in MLflow, register its champion, promote it if the gate says so."""
        from fraud.training import registration

        self.registered = registration.register(
            self.candidates, self.champion, self.judgements, self.verdict, self._lineage(),
            self.model_card, Path(self.validated), self.settings, self.why)
        self.next(self.end)

    def _lineage(self):
        from fraud.training import splits
        from fraud.training.assembly import Lineage

        return Lineage(data_digest=self.prepared.digest, data_file=self.prepared.source,
                       data_md5=self.data_md5, git_commit=self.git_commit,
                       metaflow_run=f"{current.flow_name}/{current.run_id}",
                       trained_at=self.trained_at, tuned_until=self.ends[splits.LATE])

    @resources(cpu=1, memory=1_000)
    @timeout(hours=1)
    @told
    @step
    def end(self):
        """Say what was found, who won and why, and what to do next."""
        from fraud.training import summary

        print(summary.of_run(self.prepared, self.candidates, self.champion, self.judgements,
                             self.verdict, self.registered))


if __name__ == "__main__":
    TrainFlow()
