SELECT CONVERT(varchar(34), SYSDATETIME(), 121) AS now, CONVERT(varchar(34), SYSUTCDATETIME(), 121) AS utc, DATEDIFF(MINUTE, SYSUTCDATETIME(), SYSDATETIME()) AS tz_offset_min, @@SERVERNAME AS server, DB_NAME() AS db

SELECT CONVERT(varchar(34), MIN(t.database_transaction_begin_time), 121) AS oldest FROM sys.dm_tran_database_transactions AS t
WHERE t.database_id = DB_ID() AND t.database_transaction_type = 1
  AND t.database_transaction_begin_lsn IS NOT NULL AND t.database_transaction_begin_time IS NOT NULL
