"""Find the highest rate that LoadGen calls valid, and prove it.

``python -m harness.tune DIR`` is the child process: it loads the engine once, probes it, and confirms with LoadGen.
Everything it learns is in ``DIR/tune.json``, replaced after each step, so that a tuner that was stopped goes on where
it was. Rates are samples/s; fields that do not apply are null.

- ``schema_version`` 1, ``scenario``, ``state`` (searching, confirming, done), ``now`` (what goes on), ``options``
- ``capacity``: the engine kept full: ``samples_per_second``, ``outstanding``, ``samples``, ``latency_mean_ms``,
  ``latency_p90_ms``, ``duration_s``; in SingleStream with one sample in the system
- ``ceiling_qps``: the rate above which queueing alone would break the TTFT limit in a full-length run
- ``probes``: one mapping each (:class:`harness.tune.verdict.Probe`): ``target_qps`` asked, ``achieved_qps`` issued,
  ``samples_per_second`` completed, ``queries``, ``ttft_p50_ms`` .. ``tpot_p99_ms``, ``ttft_over``, ``tpot_over``,
  ``allowed`` (over-limit queries that early stopping allows among these), ``allowed_share`` (in a full-length run),
  ``early_stopping_met`` (at the probe's own length), ``headroom_ttft``, ``headroom_tpot`` (limit / latency of a long
  run; 1 is the knee) with ``error_ttft``, ``error_tpot``, ``tpot_room``, ``tpot_spread``, ``independent``
  (:func:`harness.tune.verdict.tail_headroom`), ``backlog_growth`` (requests/s), ``valid``, ``reason``,
  ``ended`` (full length, clearly valid, hopeless and why), ``whole``, ``duration_s``, ``window_s``
- ``knee_qps``: the estimate; ``bracket``: ``low`` (valid up to), ``high`` (not valid from), ``error_percent`` of the
  knee, ``limited_by``; ``best_qps``: the rate to run at: the knee less the margin, never above a valid probe, lowered
  where a confirmation failed
- ``model``: where the engine tells its steps: the engine as it is played (:class:`harness.rundir.tuning.Model`):
  ``a_ms``, ``c_us``, ``p_us`` and their errors, ``pace`` as real queries correct it, each of these ``corrections``,
  ``knee_qps`` and ``hold_qps`` of runs of full length with many arrival seeds, and the ``curve`` of the report. Then
  ``bracket`` is what nine of ten seeds hold and one of ten, and the rate may be above a valid probe
- ``target_latency_ms``: SingleStream's instead of a rate; ``confidence``: how sure all this is, in words
- ``engine_settings``: what the engine search chose; ``trials``: all that it tried: ``settings``, ``score`` (samples/s),
  ``state``, ``error``, ``capacity``, ``probes``, ``duration_s``
- ``confirmations``: LoadGen's own runs: ``directory``, ``target_qps``, ``valid``, ``reasons``, ``full_length``,
  ``samples_per_second``, ``ttft_p99_ms``, ``tpot_p99_ms``, ``duration_s``; ``user_conf``: the lines for user.conf
"""
