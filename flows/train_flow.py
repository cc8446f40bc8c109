"""Train, select and register a champion.

    python flows/train_flow.py run
    python flows/train_flow.py run --transactions paysim.csv --sample 0.1
    python flows/train_flow.py resume
    python flows/train_flow.py card view audit

Steps fetch, call, store and go on; what they call is in `fraud.training`. Steps pass paths; what a
run computes is in <data-dir>/runs/<run id>.
"""

import os
import time
import tomllib
from pathlib import Path

if {os.environ.get(name) for name in ("METAFLOW_USER", "SUDO_USER", "USERNAME", "USER")} <= {
        None, "", "root"}:
    os.environ["METAFLOW_USER"] = "trainer"     # Metaflow refuses to run for root and for nobody

from metaflow import (  # noqa: E402
    Config, FlowSpec, Parameter, card, current, step, user_step_decorator)
from metaflow.exception import MetaflowException  # noqa: E402

import fraud  # noqa: E402, F401  (so that a remote step's code package holds it)


class CannotTrain(MetaflowException):
    """Shown as one line: something outside the code must be mended first."""

    headline = "Cannot train"


@user_step_decorator
def told(step_name, flow, inputs, attributes):
    """Turns the errors that a user can mend into one line without a stack trace."""
    from fraud.bundle import BundleError
    from fraud.training.errors import TrainingError

    try:
        yield
    except (TrainingError, BundleError) as error:
        raise CannotTrain(str(error)) from None


class TrainFlow(FlowSpec):
    """Transactions in, a registered champion out."""

    config = Config("settings", default=str(Path(__file__).with_suffix(".toml")),
                    parser=tomllib.loads, help="TOML file: hyperparameters, floors, gates")
    transactions = Parameter(
        "transactions", default=None, type=str,
        help="PaySim CSV, or CSV or Parquet with the columns of a payment: a path or an s3:// URI "
             "(default: <data-dir>/transactions.parquet, simulated where it is absent)")
    sample = Parameter("sample", default=1.0, help="share of the accounts to use")
    rows = Parameter("rows", default=None, type=int, help="simulate this many payments instead")
    spark_master = Parameter("spark-master", default="local[*]", help="where Spark runs")
    data_dir = Parameter("data-dir", default="data",
                         help="folder for simulated payments and for what runs compute")

    @told
    @card(type="blank")
    @step
    def start(self):
        """Validate the payments; bad rows go to quarantine."""
        from fraud.training import acquire, assembly, cards, dataset, feature_job, settings

        self.settings = settings.parse(self.config)
        feature_job.check_java()
        data, seed = self.settings.data, self.settings.seed
        self.workspace = str(Path(self.data_dir, "runs", current.run_id).absolute())
        self.git_commit, self.trained_at = assembly.git_commit(), time.time_ns() // 1_000_000
        source = acquire.acquire(self.transactions, self.rows, Path(self.data_dir), seed)
        self.prepared = dataset.prepare(
            source, Path(self.workspace), sample=self.sample, max_bad_share=data.max_bad_share,
            label_delay_hours=data.label_delay_hours)
        dataset.check_both_classes(self.prepared)
        current.card.extend(cards.data(self.prepared))
        print(f"{self.prepared.sampled_rows:,} payments, {self.prepared.frauds:,} of them fraud, "
              f"{self.prepared.bad:,} rows in quarantine")
        self.next(self.features)

    @told
    @step
    def features(self):
        """Compute the features of every payment with Spark, one folder a split."""
        from fraud.training import feature_job, splits

        self.ends = splits.borders(
            self.prepared.first_time, self.prepared.last_time, self.settings.split)
        self.features_path = str(Path(self.workspace, "features"))
        with feature_job.session(self.spark_master) as spark:
            feature_job.write_features(
                spark, self.prepared.transactions, self.features_path, self.ends)
        self.next(self.train_xgboost, self.train_tensorflow)

    @told
    @card(type="blank")
    @step
    def train_xgboost(self):
        """Gradient boosted trees, and the same without history as a fallback."""
        self._train("xgboost")
        self.next(self.select)

    @told
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

    @told
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

    @told
    @card(type="blank")
    @step
    def audit(self):
        """Judge both candidates and the standing champion on the test period, read only here."""
        from fraud.training import audit, cards

        audited = audit.audit(
            self.features_path, self.prepared.transactions, self.ends, self.bundles, self.champion,
            Path(self.workspace, "standing"), self.settings)
        self.judgements, self.verdict = audited.judgements, audited.verdict
        current.card.extend(cards.audit(list(self.judgements.values()), self.verdict))
        current.card.extend(cards.diagnosis(audited, self.settings.policy.review_cost))
        self.next(self.register)

    @told
    @step
    def register(self):
        """Record the run in MLflow, register its champion, promote it if the gate says so."""
        from fraud.training import registration

        self.registered = registration.register(
            self.candidates, self.champion, self.judgements, self.verdict, self._lineage(),
            self.settings, Path(self.validated))
        self.next(self.end)

    def _lineage(self):
        from fraud.training.assembly import Lineage

        return Lineage(data_digest=self.prepared.digest, git_commit=self.git_commit,
                       metaflow_run=f"{current.flow_name}/{current.run_id}",
                       trained_at=self.trained_at)

    @told
    @step
    def end(self):
        """Say what was found, who won and why, and what to do next."""
        from fraud.training import summary

        print(summary.of_run(self.prepared, self.candidates, self.champion, self.judgements,
                             self.verdict, self.registered))


if __name__ == "__main__":
    TrainFlow()
