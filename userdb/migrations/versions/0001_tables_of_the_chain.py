"""The tables of the chain: events, requests, containers, policies, alerts, notifications."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from userdb.migrations.steps import create_table
from userdb.types import BigId, Blob, Float64, Json, LongText, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_table(
        "alert",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("policy", sa.String(length=128), nullable=False),
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("labels", Json, nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("active_at", UtcDateTime, nullable=False),
        sa.Column("fired_at", UtcDateTime, nullable=True),
        sa.Column("resolved_at", UtcDateTime, nullable=True),
        sa.Column("flapping_at", UtcDateTime, nullable=True),
        sa.Column("calm_at", UtcDateTime, nullable=True),
        sa.Column("value", Float64, nullable=True),
        sa.Column("annotations", Json, nullable=False),
        sa.Column("policy_version", sa.Integer(), nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.Column("superseded_at", UtcDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_alert"),
        indexes={
            "ix_alert_flapping_at": ["flapping_at"],
            "ix_alert_policy_active_at": ["policy", "active_at"],
            "ix_alert_resolved_at": ["resolved_at"],
            "ix_alert_state_superseded_at": ["state", "superseded_at"],
        },
    )
    create_table(
        "alert_transition",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("alert_id", sa.String(length=32), nullable=False),
        sa.Column("policy", sa.String(length=128), nullable=False),
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("from_state", sa.String(length=16), nullable=False),
        sa.Column("to_state", sa.String(length=16), nullable=False),
        sa.Column("value", Float64, nullable=True),
        sa.Column("reason", sa.String(length=32), nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.Column("superseded_at", UtcDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_alert_transition"),
        indexes={
            "ix_alert_transition_alert_id": ["alert_id"],
            "ix_alert_transition_policy_at": ["policy", "at"],
        },
    )
    create_table(
        "collection",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("attempt", sa.String(length=32), nullable=False),
        sa.Column("collector", sa.String(length=64), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("window_start", UtcDateTime, nullable=False),
        sa.Column("window_end", UtcDateTime, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("row_count", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.BigInteger(), nullable=False),
        sa.Column("samples", Json, nullable=True),
        sa.Column("message", LongText, nullable=True),
        sa.Column("run_id", sa.String(length=255), nullable=True),
        sa.Column("started_at", UtcDateTime, nullable=False),
        sa.Column("duration_s", Float64, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_collection"),
        indexes={
            "ix_collection_attempt": ["attempt"],
            "ix_collection_collector_window_end": ["collector", "window_end"],
        },
    )
    create_table(
        "container_sample",
        sa.Column("minute", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("series_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("observed_at", UtcDateTime, nullable=False),
        sa.Column("container_id", sa.String(length=128), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("health", sa.String(length=32), nullable=True),
        sa.Column("failing_streak", sa.Integer(), nullable=True),
        sa.Column("exit_code", sa.Integer(), nullable=True),
        sa.Column("oom_killed", sa.Boolean(), nullable=True),
        sa.Column("started_at", UtcDateTime, nullable=True),
        sa.Column("finished_at", UtcDateTime, nullable=True),
        sa.Column("restarts", sa.Integer(), nullable=False),
        sa.Column("restarts_delta", sa.Integer(), nullable=True),
        sa.Column("running", sa.Integer(), nullable=False),
        sa.Column("unhealthy", sa.Integer(), nullable=True),
        sa.Column("cpu_percent", Float64, nullable=True),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=True),
        sa.Column("memory_limit_bytes", sa.BigInteger(), nullable=True),
        sa.Column("memory_percent", Float64, nullable=True),
        sa.Column("pids", sa.Integer(), nullable=True),
        sa.Column("network_rx_bytes", sa.BigInteger(), nullable=True),
        sa.Column("network_tx_bytes", sa.BigInteger(), nullable=True),
        sa.Column("block_read_bytes", sa.BigInteger(), nullable=True),
        sa.Column("block_write_bytes", sa.BigInteger(), nullable=True),
        sa.Column("throttled_periods", sa.BigInteger(), nullable=True),
        sa.Column("throttled_ns", sa.BigInteger(), nullable=True),
        sa.Column("cpu_total_ns", sa.BigInteger(), nullable=True),
        sa.Column("cpu_system_ns", sa.BigInteger(), nullable=True),
        sa.Column("online_cpus", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("minute", "series_id", name="pk_container_sample"),
        indexes={"ix_container_sample_series_id_minute": ["series_id", "minute"]},
        time_ordered=True,
    )
    create_table(
        "delivery",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("receiver", sa.String(length=128), nullable=False),
        sa.Column("group_key", sa.String(length=255), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("payload", Json, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("context", Json, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("next_attempt_at", UtcDateTime, nullable=False),
        sa.Column("claimed_by", sa.String(length=64), nullable=True),
        sa.Column("claimed_until", UtcDateTime, nullable=True),
        sa.Column("finished_at", UtcDateTime, nullable=True),
        sa.Column("resent_at", UtcDateTime, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        indexes={
            "ix_delivery_receiver_group_key": ["receiver", "group_key"],
            "ix_delivery_status_next_attempt_at": ["status", "next_attempt_at"],
        },
    )
    create_table(
        "delivery_attempt",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("delivery_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("started_at", UtcDateTime, nullable=False),
        sa.Column("duration_s", Float64, nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("http_status", sa.Integer(), nullable=True),
        sa.Column("response", LongText, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_attempt"),
        indexes={"ix_delivery_attempt_delivery_id": ["delivery_id"]},
    )
    create_table(
        "dirty",
        sa.Column("token", sa.String(length=32), nullable=False),
        sa.Column("policy", sa.String(length=128), nullable=False),
        sa.Column("first_minute", sa.Integer(), nullable=False),
        sa.Column("last_minute", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("token", name="pk_dirty"),
        indexes={"ix_dirty_policy": ["policy"]},
    )
    create_table(
        "evaluation",
        sa.Column("policy", sa.String(length=128), nullable=False),
        sa.Column("last_minute", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first_minute", sa.Integer(), nullable=False),
        sa.Column("state", Json, nullable=True),
        sa.PrimaryKeyConstraint("policy", "last_minute", name="pk_evaluation"),
    )
    create_table(
        "event_minute",
        sa.Column("minute", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("series_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("events", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "series_id", name="pk_event_minute"),
        indexes={"ix_event_minute_series_id_minute": ["series_id", "minute"]},
        time_ordered=True,
    )
    create_table(
        "monitor_event",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(length=64), nullable=False),
        sa.Column("event_type", sa.String(length=16), nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("message", LongText, nullable=False),
        sa.Column("detail", Json, nullable=True),
        sa.Column("occurred_at", UtcDateTime, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("service", sa.String(length=255), nullable=True),
        sa.Column("instance", sa.String(length=255), nullable=True),
        sa.Column("container", sa.String(length=255), nullable=True),
        sa.Column("exception_type", sa.String(length=255), nullable=True),
        sa.Column("fingerprint", sa.String(length=32), nullable=True),
        sa.Column("rolled_up", sa.Boolean(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_monitor_event"),
        sa.UniqueConstraint("event_id", name="uq_monitor_event_event_id"),
        indexes={
            "ix_monitor_event_occurred_at": ["occurred_at"],
            "ix_monitor_event_rolled_up": ["rolled_up", "occurred_at"],
        },
    )
    create_table(
        "notification_group",
        sa.Column("receiver", sa.String(length=128), nullable=False),
        sa.Column("group_key", sa.String(length=255), nullable=False),
        sa.Column("told", Json, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("flushed_at", UtcDateTime, nullable=True),
        sa.Column("sent_at", UtcDateTime, nullable=True),
        sa.Column("memo", Json, nullable=True),
        sa.PrimaryKeyConstraint("receiver", "group_key", name="pk_notification_group"),
    )
    create_table(
        "operator_action",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("policy", sa.String(length=128), nullable=False),
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("alert_id", sa.String(length=32), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("span_from", UtcDateTime, nullable=False),
        sa.Column("span_to", UtcDateTime, nullable=False),
        sa.Column("severity", sa.String(length=16), nullable=True),
        sa.Column("author", sa.String(length=255), nullable=False),
        sa.Column("assignee", sa.String(length=255), nullable=True),
        sa.Column("note", LongText, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_operator_action"),
        indexes={
            "ix_operator_action_alert_id": ["alert_id"],
            "ix_operator_action_policy_at": ["policy", "at"],
        },
    )
    create_table(
        "policy_score",
        sa.Column("policy", sa.String(length=128), nullable=False),
        sa.Column("first_minute", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("series_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_minute", sa.Integer(), nullable=False),
        sa.Column("evaluation_class", sa.String(length=16), nullable=False),
        sa.Column("extreme", Float64, nullable=True),
        sa.Column("value_array", Blob, nullable=True),
        sa.PrimaryKeyConstraint("policy", "first_minute", "series_id", name="pk_policy_score"),
        time_ordered=True,
    )
    create_table(
        "policy_state",
        sa.Column("policy", sa.String(length=128), nullable=False),
        sa.Column("family", sa.String(length=16), nullable=False),
        sa.Column("watermark", sa.Integer(), nullable=True),
        sa.Column("generation", sa.Integer(), server_default="0", nullable=False),
        sa.Column("fold_from", sa.Integer(), nullable=True),
        sa.Column("fold_to", sa.Integer(), nullable=True),
        sa.Column("operands_from", sa.Integer(), nullable=True),
        sa.Column("operands_to", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("policy", name="pk_policy_state"),
    )
    create_table(
        "policy_version",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("policy", sa.String(length=128), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", Json, nullable=True),
        sa.Column("effective_minute", sa.Integer(), nullable=False),
        sa.Column("registered_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_policy_version"),
        sa.UniqueConstraint("policy", "version", name="uq_policy_version_policy_version"),
    )
    create_table(
        "request_log",
        sa.Column("occurred_at", UtcDateTime, nullable=False),
        sa.Column("file_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("byte_offset", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("service", sa.String(length=255), nullable=True),
        sa.Column("route", sa.String(length=255), nullable=True),
        sa.Column("instance", sa.String(length=255), nullable=True),
        sa.Column("method", sa.String(length=32), nullable=True),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("path", sa.String(length=2048), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("outcome_reason", sa.String(length=64), nullable=False),
        sa.Column("duration_ms", Float64, nullable=True),
        sa.Column("bytes_sent", sa.BigInteger(), nullable=True),
        sa.Column("client", sa.String(length=64), nullable=True),
        sa.Column("user", sa.String(length=255), nullable=True),
        sa.Column("user_agent", sa.String(length=512), nullable=True),
        sa.Column("request_id", sa.String(length=128), nullable=True),
        sa.PrimaryKeyConstraint("occurred_at", "file_id", "byte_offset", name="pk_request_log"),
        indexes={"ix_request_log_file_id_occurred_at": ["file_id", "occurred_at"]},
        time_ordered=True,
    )
    create_table(
        "request_minute",
        sa.Column("minute", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("series_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("file_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column("ok", sa.Integer(), nullable=False),
        sa.Column("client_error", sa.Integer(), nullable=False),
        sa.Column("auth_failure", sa.Integer(), nullable=False),
        sa.Column("timeout", sa.Integer(), nullable=False),
        sa.Column("server_error", sa.Integer(), nullable=False),
        sa.Column("bytes_sent", sa.BigInteger(), nullable=False),
        sa.Column("latency_count", sa.Integer(), nullable=False),
        sa.Column("latency_sum_ms", Float64, nullable=False),
        sa.Column("latency_max_ms", Float64, nullable=True),
        sa.Column("le_5", sa.Integer(), nullable=False),
        sa.Column("le_10", sa.Integer(), nullable=False),
        sa.Column("le_25", sa.Integer(), nullable=False),
        sa.Column("le_50", sa.Integer(), nullable=False),
        sa.Column("le_100", sa.Integer(), nullable=False),
        sa.Column("le_250", sa.Integer(), nullable=False),
        sa.Column("le_500", sa.Integer(), nullable=False),
        sa.Column("le_1000", sa.Integer(), nullable=False),
        sa.Column("le_2500", sa.Integer(), nullable=False),
        sa.Column("le_5000", sa.Integer(), nullable=False),
        sa.Column("le_10000", sa.Integer(), nullable=False),
        sa.Column("le_30000", sa.Integer(), nullable=False),
        sa.Column("le_60000", sa.Integer(), nullable=False),
        sa.Column("le_inf", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("minute", "series_id", "file_id", name="pk_request_minute"),
        indexes={
            "ix_request_minute_file_id_minute": ["file_id", "minute"],
            "ix_request_minute_series_id_minute": ["series_id", "minute"],
        },
        time_ordered=True,
    )
    create_table(
        "retention_floor",
        sa.Column("family", sa.String(length=16), nullable=False),
        sa.Column("first_minute", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("family", name="pk_retention_floor"),
    )
    create_table(
        "series",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("family", sa.String(length=16), nullable=False),
        sa.Column("fingerprint", sa.String(length=16), nullable=False),
        sa.Column("labels", Json, nullable=False),
        sa.Column("first_minute", sa.Integer(), nullable=True),
        sa.Column("last_minute", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_series"),
        sa.UniqueConstraint("family", "fingerprint", name="uq_series_family_fingerprint"),
    )
    create_table(
        "silence",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("matchers", Json, nullable=False),
        sa.Column("starts_at", UtcDateTime, nullable=False),
        sa.Column("ends_at", UtcDateTime, nullable=True),
        sa.Column("recurrence", Json, nullable=True),
        sa.Column("author", sa.String(length=255), nullable=False),
        sa.Column("comment", LongText, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expired_at", UtcDateTime, nullable=True),
        sa.Column("expired_by", sa.String(length=255), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_silence"),
        indexes={"ix_silence_ends_at": ["ends_at"]},
    )
    create_table(
        "source_file",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("source", sa.String(length=255), nullable=False),
        sa.Column("prefix_length", sa.Integer(), nullable=False),
        sa.Column("prefix_hash", sa.String(length=64), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", UtcDateTime, nullable=False),
        sa.Column("last_seen", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_source_file"),
        sa.UniqueConstraint(
            "source",
            "prefix_length",
            "prefix_hash",
            name="uq_source_file_source_prefix_length_prefix_hash",
        ),
    )

    create_table(
        "version_override",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("policy", sa.String(length=128), nullable=False),
        sa.Column("first_minute", sa.Integer(), nullable=False),
        sa.Column("last_minute", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("recorded_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_version_override"),
        indexes={"ix_version_override_policy": ["policy"]},
    )


def downgrade() -> None:
    op.drop_table("version_override")
    op.drop_table("source_file")
    op.drop_table("silence")
    op.drop_table("series")
    op.drop_table("retention_floor")
    op.drop_table("request_minute")
    op.drop_table("request_log")
    op.drop_table("policy_version")
    op.drop_table("policy_state")
    op.drop_table("policy_score")
    op.drop_table("operator_action")
    op.drop_table("notification_group")
    op.drop_table("monitor_event")
    op.drop_table("event_minute")
    op.drop_table("evaluation")
    op.drop_table("dirty")
    op.drop_table("delivery_attempt")
    op.drop_table("delivery")
    op.drop_table("container_sample")
    op.drop_table("collection")
    op.drop_table("alert_transition")
    op.drop_table("alert")
