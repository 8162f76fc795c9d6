-- bounds
DECLARE @lag int = CONVERT(int, ?);
DECLARE @overlap int = CONVERT(int, ?);
DECLARE @now datetime2(7) = CONVERT(datetime2(7), ?, 121);
DECLARE @oldest datetime2(7) = CONVERT(datetime2(7), NULLIF(?, ''), 121);
DECLARE @cursor smalldatetime = CONVERT(smalldatetime, NULLIF(?, ''), 121);
DECLARE @base datetime2(7) = DATEADD(SECOND, -@lag, @now);
DECLARE @safe datetime2(7) = CASE WHEN @oldest < @base THEN @oldest ELSE @base END;
DECLARE @hi smalldatetime = CONVERT(smalldatetime, DATEADD(MINUTE, -1, @safe));
DECLARE @from smalldatetime = CASE WHEN @cursor > @hi THEN @hi ELSE @cursor END;
SELECT CONVERT(varchar(34), DATEADD(MINUTE, -@overlap, @from), 121) AS lo, CONVERT(varchar(34), @hi, 121) AS hi, CASE WHEN @cursor > @hi THEN 1 ELSE 0 END AS behind
-- ('60', '75', '2026-01-15 06:00:00.0000000', '', 'c')

-- window
DECLARE @lo smalldatetime = CONVERT(smalldatetime, ?, 121);
DECLARE @hi smalldatetime = CONVERT(smalldatetime, ?, 121);
SELECT s.[PropertyID] AS [property_id], s.[ParcelNumber] AS [parcel_number], s.[Address] AS [address], s.[City] AS [city], s.[State] AS [state], RTRIM(s.[ZipCode]) AS [zip_code], s.[LegalDescription] AS [legal_description], s.[Acreage] AS [acreage], s.[YearBuilt] AS [year_built], s.[LastModified] AS [last_modified], s.[IsActive] AS [is_active], CONVERT(varchar(34), s.[LastModified], 121) AS [_source_version] FROM [dbo].[Property] AS s
WHERE (s.[LastModified] >= @lo AND s.[LastModified] <= @hi) OR s.[LastModified] IS NULL OR s.[LastModified] > DATEADD(DAY, 1, @hi)
-- ('lo', 'hi')

-- flagged
DECLARE @hi smalldatetime = CONVERT(smalldatetime, ?, 121);
SELECT s.[PropertyID] AS [property_id], s.[ParcelNumber] AS [parcel_number], s.[Address] AS [address], s.[City] AS [city], s.[State] AS [state], RTRIM(s.[ZipCode]) AS [zip_code], s.[LegalDescription] AS [legal_description], s.[Acreage] AS [acreage], s.[YearBuilt] AS [year_built], s.[LastModified] AS [last_modified], s.[IsActive] AS [is_active], CONVERT(varchar(34), s.[LastModified], 121) AS [_source_version], CASE WHEN s.[LastModified] > @hi THEN 1 ELSE 0 END AS [_late] FROM [dbo].[Property] AS s
-- ('hi',)

-- late_rows
DECLARE @hi smalldatetime = CONVERT(smalldatetime, ?, 121);
SELECT s.[PropertyID] AS [property_id], s.[ParcelNumber] AS [parcel_number], s.[Address] AS [address], s.[City] AS [city], s.[State] AS [state], RTRIM(s.[ZipCode]) AS [zip_code], s.[LegalDescription] AS [legal_description], s.[Acreage] AS [acreage], s.[YearBuilt] AS [year_built], s.[LastModified] AS [last_modified], s.[IsActive] AS [is_active], CONVERT(varchar(34), s.[LastModified], 121) AS [_source_version], CASE WHEN s.[LastModified] > @hi THEN 1 ELSE 0 END AS [_late] FROM [dbo].[Property] AS s WHERE s.[LastModified] > @hi
-- ('hi',)

-- census
DECLARE @hi smalldatetime = CONVERT(smalldatetime, ?, 121);
SELECT '' AS grp, COUNT_BIG(*) AS n, COUNT_BIG(CASE WHEN s.[LastModified] > @hi THEN 1 END) AS late, CONVERT(varchar(60), SUM(CONVERT(decimal(38, 0), CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', CONVERT(varchar(900), CONVERT(varchar(60), s.[PropertyID]))), 1, 7))))) AS key_sum FROM [dbo].[Property] AS s
-- ('hi',)

-- key_list
DECLARE @hi smalldatetime = CONVERT(smalldatetime, ?, 121);
SELECT CONVERT(varchar(60), s.[PropertyID]) AS k FROM [dbo].[Property] AS s WHERE s.[LastModified] > @hi
-- ('hi',)

-- full
SELECT s.[PropertyID] AS [property_id], s.[ParcelNumber] AS [parcel_number], s.[Address] AS [address], s.[City] AS [city], s.[State] AS [state], RTRIM(s.[ZipCode]) AS [zip_code], s.[LegalDescription] AS [legal_description], s.[Acreage] AS [acreage], s.[YearBuilt] AS [year_built], s.[LastModified] AS [last_modified], s.[IsActive] AS [is_active], CONVERT(varchar(34), s.[LastModified], 121) AS [_source_version] FROM [dbo].[Property] AS s
-- ()

-- keys
SELECT s.[PropertyID] AS [property_id], s.[ParcelNumber] AS [parcel_number], s.[Address] AS [address], s.[City] AS [city], s.[State] AS [state], RTRIM(s.[ZipCode]) AS [zip_code], s.[LegalDescription] AS [legal_description], s.[Acreage] AS [acreage], s.[YearBuilt] AS [year_built], s.[LastModified] AS [last_modified], s.[IsActive] AS [is_active], CONVERT(varchar(34), s.[LastModified], 121) AS [_source_version] FROM [dbo].[Property] AS s WHERE s.[PropertyID] IN (CONVERT(uniqueidentifier, ?), CONVERT(uniqueidentifier, ?))
-- ('a', 'b')

-- census_without_bound
SELECT '' AS grp, COUNT_BIG(*) AS n, COUNT_BIG(CASE WHEN 1 = 0 THEN 1 END) AS late, CONVERT(varchar(60), SUM(CONVERT(decimal(38, 0), CONVERT(bigint, SUBSTRING(HASHBYTES('SHA2_256', CONVERT(varchar(900), CONVERT(varchar(60), s.[PropertyID]))), 1, 7))))) AS key_sum FROM [dbo].[Property] AS s
-- ()

-- key_list_without_bound
SELECT CONVERT(varchar(60), s.[PropertyID]) AS k FROM [dbo].[Property] AS s
-- ()

-- lob
SELECT MAX(DATALENGTH(s.[LegalDescription])) AS [n0] FROM [dbo].[Property] AS s
-- ()
