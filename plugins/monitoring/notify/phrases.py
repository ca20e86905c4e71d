"""The words of texts, by language. A language is one more ``Phrases`` in ``PHRASES``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from monitoring.notify.definition import Language


@dataclass(frozen=True)
class Phrases:
    """Words and, with braces, sentences."""

    firing: str
    resolved: str
    digest: str
    colon: str
    comma: str
    held_back: str
    more: str
    what: str
    where: str
    labels: str
    since: str
    ended: str
    value: str
    condition: str
    evidence: str
    page: str
    runbook: str
    acknowledge: str
    retracted: str
    flapping: str
    severities: Mapping[str, str]
    places: Mapping[str, str]
    failures: Mapping[str, str]
    outcomes: Mapping[str, str]
    states: Mapping[str, str]
    events: str
    route: str
    mean: str
    slowest: str
    request: str
    duration: str
    request_id: str
    container: str
    exit_code: str
    oom_killed: str
    reason: str
    exits: str
    oom_kills: str
    restarts: str
    finished: str


ENGLISH = Phrases(
    firing="FIRING",
    resolved="RESOLVED",
    digest="DIGEST",
    colon=": ",
    comma=", ",
    held_back="These were held back by the receiver's rate limit.",
    more="… and {number} more",
    what="Policy",
    where="Where",
    labels="Labels",
    since="Since",
    ended="Ended",
    value="Value",
    condition="{value}; condition: {condition}",
    evidence="Evidence",
    page="Alert",
    runbook="Runbook",
    acknowledge="Acknowledge",
    retracted="Late data showed that this alert never was.",
    flapping="It opens and resolves often; the next message comes when it has calmed down.",
    severities={"info": "info", "warning": "warning", "error": "error", "critical": "critical"},
    places={
        "service": "service",
        "route": "route",
        "instance": "instance",
        "container": "container",
        "host": "host",
        "source": "source",
    },
    failures={
        "timeout": "timed out",
        "server_error": "server errors",
        "auth_failure": "refused for lack of permission",
        "client_error": "client errors",
    },
    outcomes={
        "ok": "answered",
        "timeout": "timed out",
        "server_error": "server error",
        "auth_failure": "refused for lack of permission",
        "client_error": "client error",
    },
    states={},
    events="{count} × {what}",
    route="{where}: {requests} requests",
    mean="mean {ms} ms",
    slowest="slowest {ms} ms",
    request="{at} {asked}: {said}",
    duration="{ms} ms",
    request_id="request id {id}",
    container="container {container}: {state}",
    exit_code="exit code {code}",
    oom_killed="killed for want of memory",
    reason="reason {reason}",
    exits="failures in an hour: {number}",
    oom_kills="for want of memory: {number}",
    restarts="{number} restarts",
    finished="ended {at}",
)

CHINESE = Phrases(
    firing="告警",
    resolved="已恢复",
    digest="汇总",
    colon="：",
    comma="，",
    held_back="以下告警因接收方的频率限制而延后发送。",
    more="……另有 {number} 条",
    what="策略",
    where="位置",
    labels="标签",
    since="开始时间",
    ended="结束时间",
    value="当前值",
    condition="{value}；条件：{condition}",
    evidence="依据",
    page="告警详情",
    runbook="处理手册",
    acknowledge="确认告警",
    retracted="迟到的数据表明该告警并不成立，现予撤回。",
    flapping="该告警反复触发与恢复；平稳之后才会再次通知。",
    severities={"info": "提示", "warning": "警告", "error": "错误", "critical": "严重"},
    places={
        "service": "服务",
        "route": "路由",
        "instance": "实例",
        "container": "容器",
        "host": "主机",
        "source": "来源",
    },
    failures={
        "timeout": "超时",
        "server_error": "服务端错误",
        "auth_failure": "鉴权失败",
        "client_error": "客户端错误",
    },
    outcomes={
        "ok": "成功",
        "timeout": "超时",
        "server_error": "服务端错误",
        "auth_failure": "鉴权失败",
        "client_error": "客户端错误",
    },
    states={
        "created": "已创建",
        "waiting": "等待中",
        "running": "运行中",
        "paused": "已暂停",
        "restarting": "正在重启",
        "removing": "正在删除",
        "exited": "已退出",
        "dead": "已失效",
        "absent": "不存在",
    },
    events="{count} 次 {what}",
    route="{where}：{requests} 个请求",
    mean="平均 {ms} 毫秒",
    slowest="最慢 {ms} 毫秒",
    request="{at} {asked}：{said}",
    duration="{ms} 毫秒",
    request_id="请求 ID {id}",
    container="容器 {container}：{state}",
    exit_code="退出码 {code}",
    oom_killed="因内存不足被终止",
    reason="原因 {reason}",
    exits="一小时内异常退出 {number} 次",
    oom_kills="其中 {number} 次因内存不足",
    restarts="重启 {number} 次",
    finished="结束于 {at}",
)

PHRASES: Mapping[Language, Phrases] = {"en": ENGLISH, "zh": CHINESE}
