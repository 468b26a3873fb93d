"""The virtual machine monitor: mechanism only. It imports no asyncio, aiohttp, diskcache or tuf.

From the bottom: kernel, memory and wire, engines, turns, devices and shells beside the sandbox, machine, worker.
"""
