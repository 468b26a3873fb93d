"""Background tasks as a test sees them: whoever began them, they are tasks of the event loop."""

import asyncio


def others() -> set["asyncio.Task[object]"]:
    """All tasks but the one that asks."""
    return asyncio.all_tasks() - {asyncio.current_task()}


async def tasks_done() -> None:
    """Until there are none; what one of them raises is raised here."""
    while tasks := others():
        await asyncio.gather(*tasks)
