"""cluster_spark.py MODEL FOLDER KILL: runs capp.spark on a cluster of two executors, one process each, and kills one
worker. KILL: "worker" kills the Python process at work; "executor" kills the Java process that it belongs to.
tests/test_cluster.py runs it. FOLDER holds Spark's own files."""
import os
import sys
from pathlib import Path

import cluster_watch as watch
import pyspark

import capp
import capp.spark

MODEL, FOLDER, KILL = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
PARTITIONS, BATCH, ROWS = 4, 8, 128


def session():
    """Spark writes the folders of its workers into its home. This home consists of links."""
    home = FOLDER / "home"
    home.mkdir()
    for part in Path(pyspark.__file__).parent.iterdir():
        if part.name != "work":  # folders of other clusters
            (home / part.name).symlink_to(part)
    os.environ.update(SPARK_HOME=str(home), SPARK_LOCAL_DIRS=str(FOLDER / "local"), SPARK_LOCAL_IP="127.0.0.1",
                      PYSPARK_PYTHON=sys.executable)
    from pyspark.sql import SparkSession

    settings = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.driver.memory": "1g",
                "spark.sql.warehouse.dir": str(FOLDER / "warehouse"), "spark.default.parallelism": str(PARTITIONS),
                # A busy machine must not look like a dead one.
                "spark.network.timeout": "900s", "spark.worker.timeout": "900", "spark.executor.heartbeatInterval": "30s",
                "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH),
                **{f"spark.executorEnv.{name}": os.environ[name] for name in ("CAPP_WATCH", "CAPP_LIBRARY", "PYTHONPATH")}}
    builder = SparkSession.builder.master("local-cluster[2,1,1024]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def column(frame, udf, *names):
    """The column that the UDF makes, in the order of the rows."""
    rows = frame.withColumn("out", udf(*names)).select("i", "out").collect()
    return [row.out for row in sorted(rows, key=lambda row: row.i)]


def main():
    capp.spark.Job = watch.Job
    texts = watch.prompts(ROWS)
    expected = watch.on_one_machine("predict_proba", texts, watch.CHOICES, MODEL, prior=watch.PRIOR)
    watch.clear()
    spark = session()
    frame = spark.createDataFrame([(i, text, watch.CHOICES[i % 3:]) for i, text in enumerate(texts)],
                                  "i int, text string, choices array<string>")
    killed = []
    watch.kill_one(killed, {"worker": 0, "executor": 2}[KILL])
    proba = column(frame, capp.spark.predict_proba_udf(MODEL, watch.CHOICES, prior=watch.PRIOR), "text")
    few, some = frame.where("i < 24"), texts[:24]
    model = capp.Model(MODEL, threads=2)
    chosen = column(few, capp.spark.predict_udf(model, watch.CHOICES), "text")
    logprobs = column(few, capp.spark.log_probs_conditional_udf(model, watch.CHOICES), "text")
    spark.sparkContext.addFile(MODEL)
    named = os.path.basename(MODEL)
    tokens = column(few, capp.spark.token_logprobs_udf(named, model_options={"threads": 2}), "text")
    own = column(few, capp.spark.predict_proba_udf(named, model_options={"threads": 2}, normalize=False), "text", "choices")
    examples = [None if text is None else capp.Example(text, watch.CHOICES[i % 3:], normalize=False)
                for i, text in enumerate(some)]
    try:
        spark.createDataFrame([("ok",), ("",)], "text string").select(
            capp.spark.predict_udf(named, watch.CHOICES, model_options={"threads": 2})("text")).collect()
        said = None
    except Exception as error:
        said = str(error)
    spark.stop()
    watch.report(rows=ROWS, killed=killed, events=watch.events(), said=said, equal={
        "predict_proba": proba == expected,
        "predict": chosen == watch.on_one_machine("predict", some, watch.CHOICES, model),
        "log_probs_conditional": logprobs == watch.on_one_machine("log_probs_conditional", some, watch.CHOICES, model),
        "token_logprobs": tokens == watch.on_one_machine("token_logprobs", some, model),
        "own": own == watch.on_one_machine("predict_proba_examples", examples, model)})


main()
