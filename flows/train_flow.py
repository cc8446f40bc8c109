"""Train, select and register a model.

    python flows/train_flow.py run
    python flows/train_flow.py run --transactions payments.csv --sample 0.1
    python flows/train_flow.py run --tune 20
    python flows/train_flow.py resume
    python flows/train_flow.py card view final_test

Steps fetch, call, store and go on; the functions that they call are in `fraud.training`. Steps pass
paths; the files of a run are in <data-dir>/runs/<run id>.
"""

import os
import tomllib
from pathlib import Path

if {os.environ.get(name) for name in ("METAFLOW_USER", "SUDO_USER", "USERNAME", "USER")} <= {
        None, "", "root"}:
    os.environ["METAFLOW_USER"] = "trainer"     # Metaflow refuses to run for root and for nobody

from metaflow import Config, FlowSpec, Parameter, current  # noqa: E402
from metaflow.cards import Markdown  # noqa: E402

from fraud.training.steps import run_command, settings_file, training_step  # noqa: E402


class TrainFlow(FlowSpec):
    """Transactions in, a registered model out."""

    config = Config("settings", default=str(Path(__file__).with_suffix(".toml")),
                    parser=tomllib.loads, help="TOML file: hyperparameters, floors, gate")
    transactions = Parameter(
        "transactions", default=None, type=str,
        help="CSV or Parquet with the columns of a payment, or those of PaySim or of a mapping: a "
             "file, folder or glob, or s3://, kaggle:// or hf:// OWNER/NAME/FILE "
             "(default: <data-dir>/transactions.parquet, simulated if absent)")
    columns = Parameter("columns", default=None, type=str,
                        help="a mapping of the file's columns, see docs/your-data.md")
    sample = Parameter("sample", default=1.0, help="share of the accounts to use")
    rows = Parameter("rows", default=None, type=int, help="simulate this many payments instead")
    tune = Parameter("tune", default=0, help="trials of a hyperparameter search for each framework "
                     "(0: none), see docs/training.md")
    reason = Parameter("reason", default="", help="why the run was started; kept with its version")
    spark_master = Parameter("spark-master", default="local[*]", help="URL of the Spark master")
    data_dir = Parameter("data-dir", default="data",
                         help="folder for simulated payments and for the files of runs")
    workspace_uri = Parameter(
        "workspace-uri", default=None, type=str,
        help="s3://BUCKET/PREFIX through which steps pass their files, for steps on machines "
             "without a shared disk")

    @training_step(cpu=2, memory=16_000, has_card=True)
    def start(self):
        """Validate the payments; rows that are not payments go to quarantine. Check the periods."""
        from fraud import clock
        from fraud.training import acquire, settings
        from fraud.training.data import dataset, options, periods
        from fraud.training.java import check_java
        from fraud.training.models import tuning
        from fraud.training.registry import data_version
        from fraud.training.registry.lineage import git_commit
        from fraud.training.reports import cards, summary

        self.settings, self.settings_file = settings.parse(self.config), settings_file()
        check_java()
        tuning.check(self.tune)
        data, seed = self.settings.data, self.settings.seed
        self.workspace = str(Path(self.data_dir, "runs", current.run_id).absolute())
        self.git_commit, self.trained_at = git_commit(), clock.now_ms()
        source = acquire.acquire(self.transactions, self.rows, Path(self.data_dir), seed)
        self.data_md5 = data_version.dvc_md5(source)
        self.prepared = dataset.prepare(
            source, Path(self.workspace), options.reading(data, self.columns), self.sample)
        self.periods = periods.of_file(self.prepared.transactions, self.settings.split)
        current.card.extend(cards.data(self.prepared, self.periods))
        print(summary.of_data(self.prepared, self.periods))
        periods.check(self.periods)
        self.next(self.features)

    @training_step(cpu=4, memory=16_000, hours=4, retries=1)
    def features(self):
        """Compute the features of all payments in Spark, one folder a split; then those of the
        audit's point-in-time copy and of its original."""
        from fraud.training.features import spark_job, splits
        from fraud.training.leakage import point_in_time

        self.ends = splits.borders(
            self.prepared.first_time, self.prepared.last_time, self.settings.split)
        self.features_path = str(Path(self.workspace, "features"))
        self.copy = point_in_time.point_in_time_copy(
            self.prepared.transactions, self.ends[splits.TRAIN], self.settings.audit.rows,
            Path(self.workspace, "point-in-time.parquet"), self.settings.seed)
        self.copy_features_path = str(Path(self.workspace, "point-in-time"))
        self.original_features_path = str(Path(self.workspace, "original"))
        with spark_job.explained_failures(), spark_job.session(self.spark_master) as spark:
            spark_job.write_all(
                spark, self.prepared.feature_table, {
                    self.prepared.transactions: self.features_path,
                    self.copy.transactions: self.copy_features_path,
                    self.copy.original: self.original_features_path},
                self.ends, self.prepared.recording_since)
        self.next(self.audit)

    @training_step(cpu=2, memory=16_000, has_card=True)
    def audit(self):
        """Stop on leakage, before anything is trained."""
        from fraud.training import settings
        from fraud.training.features import splits
        from fraud.training.leakage import checks, post_event_columns
        from fraud.training.reports import cards

        rules = settings.with_new_reasons(self.settings, Path(self.settings_file))
        columns = post_event_columns.read_columns(
            self.prepared.source, self.prepared.transactions, self.copy.first, self.copy.end,
            Path(self.workspace))
        folders = checks.Folders(
            str(Path(self.features_path, splits.FOLDER.format(splits.TRAIN))),
            self.original_features_path, self.copy_features_path)
        self.leakage = checks.audit(folders, self.prepared.transactions, self.copy,
                                    self.ends[splits.TRAIN], columns, rules, self.settings.seed)
        current.card.extend(cards.leakage(self.leakage, rules))
        checks.check(self.leakage)
        self.next(self.train_xgboost, self.train_tensorflow)

    @training_step(cpu=4, memory=16_000, hours=4, retries=1, has_card=True)
    def train_xgboost(self):
        """Train gradient boosted trees, and a fallback without history."""
        self._train("xgboost")
        self.next(self.select)

    @training_step(cpu=4, memory=16_000, hours=4, retries=1, has_card=True)
    def train_tensorflow(self):
        """Train a multilayer perceptron, and a fallback without history."""
        self._train("tensorflow")
        self.next(self.select)

    def _train(self, framework):
        from fraud import clock
        from fraud.training.models import candidate
        from fraud.training.reports import cards

        began = clock.now_ms()
        self.candidate = candidate.train(
            framework, self.prepared.feature_table, self.features_path,
            self.prepared.transactions, self.ends, Path(self.workspace, framework), self.settings,
            self.tune)
        self.fit = began, clock.now_ms()
        current.card.extend(cards.training(self.candidate))

    @training_step(cpu=1, memory=4_000, has_card=True)
    def select(self, inputs):
        """Select the candidate with the higher F1 in validation, and say how sure."""
        from fraud.training.evaluation import test_report
        from fraud.training.features import splits
        from fraud.training.models.candidate import best
        from fraud.training.promotion import selection
        from fraud.training.registry import bundle_writer, reference
        from fraud.training.reports import cards

        self.merge_artifacts(inputs, exclude=["candidate", "fit"])
        self.candidates = {branch.candidate.framework: branch.candidate for branch in inputs}
        self.fits = {branch.candidate.framework: branch.fit for branch in inputs}
        self.selected = best(self.candidates.values())
        self.bundles = {framework: str(Path(self.workspace, framework, "bundle"))
                        for framework in self.candidates}
        for framework, directory in self.bundles.items():
            bundle_writer.write(self.candidates[framework], self._lineage(), Path(directory))
        self.reference = str(Path(self.workspace, reference.FILE))
        validation = splits.read_validation(
            self.features_path, self.prepared.transactions, self.ends)
        reference.write(test_report.load_bundle(self.bundles[self.selected]), validation,
                        Path(self.reference), self.settings.seed)
        self.certainty = selection.certainty(
            self.bundles, self.selected, validation, self.settings.seed)
        current.card.extend(cards.selection(
            list(self.candidates.values()), self.selected, self.certainty))
        self.next(self.final_test)

    @training_step(cpu=2, memory=16_000, has_card=True)
    def final_test(self):
        """Test both candidates and the incumbent on the test period, which no other step reads."""
        from fraud.training.promotion import final_test
        from fraud.training.reports import cards, figure_files, model_card

        test = final_test.final_test(
            self.features_path, self.prepared.transactions, self.ends, self.bundles, self.selected,
            Path(self.workspace, "incumbent"), self.settings)
        self.reports, self.decision = test.reports, test.decision
        self.model_card = model_card.model_card(
            self.prepared, self._lineage(), self.candidates[self.selected], test, self.leakage)
        self.figures = str(Path(self.workspace, "figures"))
        figure_files.write(test, self.candidates.values(), self.settings.alerts, Path(self.figures))
        current.card.extend(cards.final_test([*self.reports.values(), test.fallback],
                                             self.decision))
        current.card.extend(cards.decisions(
            test, self.settings.alerts.alerts_per_day, Path(self.figures)))
        current.card.extend(cards.diagnosis(Path(self.figures)))
        current.card.append(Markdown(self.model_card))
        self.next(self.register)

    @training_step(cpu=1, memory=4_000)
    def register(self):
        """Record the run in MLflow, register its selected candidate, promote it if the gate
        allows."""
        from fraud.training.promotion import registration
        from fraud.training.registry.tracking import RunTimes

        record = registration.RunRecord(
            self.model_card, Path(self.reference), Path(self.figures),
            {framework: RunTimes(*fit) for framework, fit in self.fits.items()}, self.reason)
        self.registered = registration.register(
            self.candidates, self.selected, self.reports, self.decision, self._lineage(), record,
            self.settings)
        self.next(self.end)

    def _lineage(self):
        from fraud.training.features import splits
        from fraud.training.registry.lineage import Lineage

        return Lineage(data_digest=self.prepared.digest, data_file=self.prepared.source,
                       data_md5=self.data_md5, time_base=self.prepared.time_base,
                       mapping_digest=self.prepared.mapping_digest, git_commit=self.git_commit,
                       metaflow_run=f"{current.flow_name}/{current.run_id}",
                       trained_at=self.trained_at, tuned_until=self.ends[splits.CALIBRATION])

    @training_step(cpu=1, memory=1_000)
    def end(self):
        """Summarise the run: data, candidates, decision, next commands."""
        from fraud.training.reports import summary

        self.summary = summary.of_run(
            self.prepared, self.candidates, self.selected, self.certainty, self.leakage,
            self.reports, self.decision, self.registered, self.settings.alerts.alerts_per_day)
        print("\n".join(f"| {line}".rstrip() for line in self.summary.splitlines()))


if __name__ == "__main__":
    run_command(TrainFlow)
