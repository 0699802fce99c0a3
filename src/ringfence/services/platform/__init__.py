"""The services of a platform as methods over a state: what each serves to whom, and what it asks of others.

No socket, process or clock is here: a service is told what was asked and when, and asks others through
`Peers`. `adapters/service_process` runs any of them in its zone; tests run them without one.
"""
