import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.Date;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/** What the JDBC driver sends: metadata, prepared statements, fetch sizes, timeouts, cancel, SCRAM over TLS. */
public final class ProgramJdbc {
    private static void same(Object found, Object expected) {
        if (!expected.equals(found)) {
            throw new AssertionError(found + " instead of " + expected);
        }
    }

    public static void main(String[] arguments) throws Exception {
        String url = "jdbc:postgresql://127.0.0.1:" + arguments[0] + "/dunlin";
        Properties plain = new Properties();
        plain.setProperty("user", "tests");
        try (Connection connection = DriverManager.getConnection(url, plain)) {
            metadata(connection);
            prepared(connection);
            types(connection);
            pages(connection);
            ends(connection);
        }
        Properties secret = new Properties();
        secret.setProperty("user", "ci");
        secret.setProperty("password", arguments[3]);
        secret.setProperty("sslmode", "verify-full");
        secret.setProperty("sslrootcert", arguments[2]);
        try (Connection connection = DriverManager.getConnection("jdbc:postgresql://localhost:" + arguments[1] + "/dunlin", secret);
                ResultSet row = connection.createStatement().executeQuery("select current_user")) {
            row.next();
            same(row.getString(1), "ci");
        }
        System.out.println("ok");
    }

    private static void metadata(Connection connection) throws SQLException {
        DatabaseMetaData about = connection.getMetaData();
        same(about.getDatabaseProductName(), "PostgreSQL");
        List<String> tables = new ArrayList<>();
        try (ResultSet rows = about.getTables(null, "public", "%", new String[] {"TABLE"})) {
            while (rows.next()) {
                tables.add(rows.getString("TABLE_NAME"));
            }
        }
        same(tables.contains("orders"), true);
        List<String> columns = new ArrayList<>();
        try (ResultSet rows = about.getColumns(null, "public", "nation", null)) {
            while (rows.next()) {
                columns.add(rows.getString("COLUMN_NAME") + " " + rows.getString("TYPE_NAME"));
            }
        }
        same(columns, List.of("n_nationkey int8", "n_name text", "n_regionkey int8", "n_comment text"));
        try (ResultSet rows = about.getPrimaryKeys(null, "public", "nation")) {
            same(rows.next(), false);
        }
        try (ResultSet rows = about.getSchemas()) {
            boolean found = false;
            while (rows.next()) {
                found |= rows.getString(1).equals("public");
            }
            same(found, true);
        }
    }

    private static void prepared(Connection connection) throws SQLException {
        String sql = "select o_orderkey, o_totalprice, o_orderdate from orders where o_orderdate >= ? and o_totalprice > ? and o_orderstatus = ? order by 1 limit ?";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            same(statement.getParameterMetaData().getParameterCount(), 4);
            // More often than the driver needs to prepare it on the server and to ask for binary values.
            for (int round = 0; round < 8; round++) {
                statement.setDate(1, Date.valueOf("1995-01-01"));
                statement.setBigDecimal(2, new BigDecimal("1000.005"));
                statement.setString(3, "O");
                statement.setInt(4, 10);
                try (ResultSet rows = statement.executeQuery()) {
                    int count = 0;
                    while (rows.next()) {
                        same(rows.getBigDecimal(2).scale(), 2);
                        same(rows.getDate(3).before(Date.valueOf("1995-01-01")), false);
                        count++;
                    }
                    same(count, 10);
                }
            }
        }
    }

    private static void types(Connection connection) throws SQLException {
        String sql = "select cast(-1.50 as decimal(10,2)), 'ä', x'00ff', timestamp '2024-02-29 01:02:03.000004', true, cast(null as bigint), [1, 2], cast(0.1 as double)";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (int round = 0; round < 8; round++) {
                try (ResultSet row = statement.executeQuery()) {
                    row.next();
                    same(row.getBigDecimal(1), new BigDecimal("-1.50"));
                    same(row.getString(2), "ä");
                    same(row.getBytes(3).length, 2);
                    same(row.getTimestamp(4), Timestamp.valueOf("2024-02-29 01:02:03.000004"));
                    same(row.getBoolean(5), true);
                    row.getLong(6);
                    same(row.wasNull(), true);
                    same(((Long[]) row.getArray(7).getArray())[1], 2L);
                    same(row.getDouble(8), 0.1);
                }
            }
        }
    }

    private static void pages(Connection connection) throws SQLException {
        connection.setAutoCommit(false);
        try (Statement statement = connection.createStatement()) {
            statement.setFetchSize(500);
            try (ResultSet rows = statement.executeQuery("select l_orderkey from lineitem order by 1 limit 3000")) {
                long last = 0;
                int count = 0;
                while (rows.next()) {
                    same(rows.getLong(1) >= last, true);
                    last = rows.getLong(1);
                    count++;
                }
                same(count, 3000);
            }
        }
        connection.commit();
        connection.setAutoCommit(true);
    }

    private static void ends(Connection connection) throws SQLException {
        String slow = "select count(*) from lineitem a, lineitem b, lineitem c where a.l_comment || b.l_comment = c.l_comment";
        try (Statement statement = connection.createStatement()) {
            statement.setQueryTimeout(1);
            statement.executeQuery(slow);
            throw new AssertionError("a statement runs longer than it may");
        } catch (SQLException error) {
            same(error.getSQLState(), "57014");
        }
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("select nothing from orders");
            throw new AssertionError("a wrong column is answered");
        } catch (SQLException error) {
            same(error.getSQLState(), "42703");
        }
    }
}
