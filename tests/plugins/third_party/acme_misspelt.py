from paraphrase_rl import hookimpl


@hookimpl
def register_detecters():
    return []
