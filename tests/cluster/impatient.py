"""`snakemake`, asking the cluster for its jobs every two seconds.

The Slurm executor waits ten seconds longer each time that no job has ended, up to three minutes. That is polite where a
cluster is shared, and most of these tests' time where it is not.
"""

from __future__ import annotations

import asyncio

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor


async def sleep(_: RemoteExecutor) -> None:
    await asyncio.sleep(2)


RemoteExecutor.sleep = sleep

if __name__ == "__main__":
    main()
