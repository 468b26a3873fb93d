"""The virtual machine monitor: mechanism only. It imports no asyncio, aiohttp, diskcache or tuf."""
