from paraphrase_rl.plugin import DetectorSpec, hookimpl

print("a plug-in that prints when it is imported")


@hookimpl
def register_detectors():
    yield DetectorSpec(name="half", summary="Given before the crash", family="toy", factory=dict)
    raise RuntimeError("the licence server\ndoes not answer")


@hookimpl
def register_rewards():
    return ["not a spec"]


@hookimpl
def on_step_end(record):
    raise ValueError("no dashboard")
