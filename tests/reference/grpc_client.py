"""A stranger's client: stubs that grpcio-tools generates from proto/, and nothing of Marquetry's own.

usage: grpc_client.py PROTO_FOLDER ADDRESS WORKFLOW_FILE

It drives every call of RunService and ClusterService once, looks at errors as google.rpc has them, and prints
what it saw as one JSON document. Whoever calls it has started a server, a worker and nothing else.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import grpc
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from grpc_status import rpc_status
from grpc_tools import protoc


def generate(proto: Path, out: Path) -> None:
    files = sorted(str(path) for path in (proto / "marquetry/v1").glob("*.proto"))
    well_known = Path(protoc.__file__).parent / "_proto"
    arguments = ["protoc", f"-I{proto}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}", *files]
    if protoc.main(arguments) != 0:
        raise SystemExit("the stubs cannot be generated")
    sys.path.insert(0, str(out))


def services(channel) -> list[str]:
    """What the server says that it has. Version 1 of reflection has the messages of v1alpha."""
    ask = channel.stream_stream(
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    answers = ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=30)
    return sorted(service.name for service in next(answers).list_services_response.service)


def error_of(call, wire):
    """The error that a call ends with, as google.rpc.Status tells it."""
    try:
        call()
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)
        seen = {"code": error.code().name, "message": error.details(), "diagnostics": []}
        for detail in status.details if status else []:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo()
                detail.Unpack(info)
                seen["reason"], seen["domain"] = info.reason, info.domain
            elif detail.Is(wire.Diagnostics.DESCRIPTOR):
                diagnostics = wire.Diagnostics()
                detail.Unpack(diagnostics)
                seen["diagnostics"] = [MessageToDict(it) for it in diagnostics.diagnostics]
        return seen
    raise SystemExit("a call that must fail did not")


def main() -> None:
    proto, address, file = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    with tempfile.TemporaryDirectory() as out:
        generate(proto, Path(out))
        from marquetry.v1 import cluster_pb2, cluster_pb2_grpc, diagnostic_pb2, run_pb2, run_pb2_grpc

        channel = grpc.insecure_channel(address)
        health = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service="marquetry.v1.RunService"), timeout=30
        )
        seen = {"health": health_pb2.HealthCheckResponse.ServingStatus.Name(health.status)}
        seen["services"] = services(channel)
        runs = run_pb2_grpc.RunServiceStub(channel)
        clusters = cluster_pb2_grpc.ClusterServiceStub(channel)
        bundle = run_pb2.WorkflowBundle(entry=file.name, files={file.name: file.read_text()})
        request = run_pb2.SubmitRunRequest(bundle=bundle, request_id="python-1")
        first = runs.SubmitRun(request, timeout=30)
        again = runs.SubmitRun(request, timeout=30)
        seen["same_run"] = first.run_id == again.run_id and first.created and not again.created

        # The run waits for approval; whoever watches is told of every stage.
        watched = runs.WatchRun(run_pb2.WatchRunRequest(run_id=first.run_id), timeout=60)
        deadline = time.monotonic() + 60
        while True:
            run = runs.GetRun(run_pb2.GetRunRequest(run_id=first.run_id), timeout=30).run
            waits = [stage.waiting for stage in run.stages if stage.HasField("waiting")]
            if any(it.waiting_for == run_pb2.WAITING_FOR_APPROVAL for it in waits):
                break
            if time.monotonic() > deadline:
                raise SystemExit(f"it never asks: {run}")
            time.sleep(0.02)
        seen["waiting"] = [it.message for it in waits]
        decision = run_pb2.APPROVAL_DECISION_APPROVE
        runs.ApproveStage(
            run_pb2.ApproveStageRequest(run_id=first.run_id, stage="ask", decision=decision, approver="python"),
            timeout=30,
        )
        events = [response.WhichOneof("event") for response in watched]
        seen["first_event"], seen["last_event"] = events[0], events[-1]
        run = runs.GetRun(run_pb2.GetRunRequest(run_id=first.run_id), timeout=30).run
        seen["status"] = run_pb2.RunStatus.Name(run.summary.status)
        seen["approved_by"] = next(stage.approval.by for stage in run.stages if stage.name == "ask")

        # What its stages said. Following a run that has ended ends at once.
        logs = run_pb2.StreamLogsRequest(run_id=first.run_id, follow=True)
        seen["log_lines"] = [line.message for part in runs.StreamLogs(logs, timeout=60) for line in part.lines]
        silent = run_pb2.StreamLogsRequest(run_id=first.run_id, stage="nowhere")
        seen["no_stage"] = error_of(lambda: list(runs.StreamLogs(silent, timeout=30)), diagnostic_pb2)

        # Pages of one run each.
        second = runs.SubmitRun(run_pb2.SubmitRunRequest(bundle=bundle), timeout=30)
        runs.CancelRun(run_pb2.CancelRunRequest(run_id=second.run_id, reason="enough"), timeout=30)
        for _ in runs.WatchRun(run_pb2.WatchRunRequest(run_id=second.run_id), timeout=60):
            pass
        listed, token = [], ""
        while True:
            page = runs.ListRuns(run_pb2.ListRunsRequest(page_size=1, page_token=token), timeout=30)
            listed += [(run.run_id, run_pb2.RunStatus.Name(run.status)) for run in page.runs]
            token = page.next_page_token
            if not token:
                break
        seen["listed"] = [status for _, status in listed]
        seen["newest_first"] = listed[0][0] == second.run_id
        runs.RetryRun(run_pb2.RetryRunRequest(run_id=second.run_id), timeout=30)

        workers = clusters.ListWorkers(cluster_pb2.ListWorkersRequest(), timeout=30).workers
        seen["workers"] = [cluster_pb2.WorkerState.Name(worker.state) for worker in workers]
        queues = clusters.ListQueues(cluster_pb2.ListQueuesRequest(), timeout=30).queues
        seen["queues"] = [queue.name for queue in queues]

        broken = run_pb2.WorkflowBundle(entry="b.yaml", files={"b.yaml": "marquetry: v1\nname: b\nstages: { a: { usess: x } }\n"})
        seen["invalid"] = error_of(lambda: runs.SubmitRun(run_pb2.SubmitRunRequest(bundle=broken), timeout=30), diagnostic_pb2)
        unknown = run_pb2.GetRunRequest(run_id="01hf7yb2c700000000000000e9")
        seen["unknown"] = error_of(lambda: runs.GetRun(unknown, timeout=30), diagnostic_pb2)
        late = run_pb2.CancelRunRequest(run_id=first.run_id)
        seen["late"] = error_of(lambda: runs.CancelRun(late, timeout=30), diagnostic_pb2)
        drain = cluster_pb2.DrainWorkerRequest(worker_id="nobody")
        seen["nobody"] = error_of(lambda: clusters.DrainWorker(drain, timeout=30), diagnostic_pb2)
        clusters.DrainWorker(cluster_pb2.DrainWorkerRequest(worker_id=workers[0].worker_id), timeout=30)
        print(json.dumps(seen))


main()
