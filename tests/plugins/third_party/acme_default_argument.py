from paraphrase_rl.plugin import hookimpl


@hookimpl
def on_step_end(record, folder=None):
    pass
