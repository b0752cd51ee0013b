#!/usr/bin/env python3
"""The official Java SDK client through the explicit proxy (with what `proxy
env --for java` prints) and through the mount."""
import sdkcases
import toolchains

# This client sends no notifications/cancelled: it only stops waiting.
sdkcases.main("sdk_java", toolchains.java_client,
              lambda gw, token: {**gw.env_of("java", token),
                                 "PORTREEVE_TOKEN": token}, cancels=False)
