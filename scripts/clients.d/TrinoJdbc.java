// What Trino's JDBC driver gets from gateways: run by scripts/clients.d/trino with their addresses.

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.Date;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.sql.Types;
import java.util.List;
import java.util.Map;
import java.util.Properties;

public final class TrinoJdbc extends JdbcChecks {
  private static String first;
  private static String second;
  private static String open;
  private static String both;

  private static Connection connect(String address, String key, String... more) throws SQLException {
    Properties properties = new Properties();
    properties.put("user", "anyone");
    if (key != null) {
      properties.put("password", key);
      properties.put("SSL", "true");
      properties.put("SSLTrustStorePath", System.getenv("DUNLIN_CA"));
    }
    for (int at = 0; at < more.length; at += 2) {
      properties.put(more[at], more[at + 1]);
    }
    return DriverManager.getConnection("jdbc:trino://" + address + "/datafusion/public", properties);
  }

  private static Connection connect() throws SQLException {
    return connect(first, "key-of-reader");
  }

  private static void statements() throws SQLException {
    try (Connection connection = connect()) {
      same(count(connection, "select count(*) from lineitem"), 60175L);
      same(connection.isValid(5), true);
      try (Statement statement = connection.createStatement();
          ResultSet rows = statement.executeQuery("select n_nationkey, n_name from nation order by 1")) {
        ResultSetMetaData columns = rows.getMetaData();
        same(columns.getColumnCount(), 2);
        same(columns.getColumnName(2), "n_name");
        List<String> names = column(rows, "n_name");
        same(names.size(), 25);
        same(names.get(0), "ALGERIA");
      }
    }
    try (Connection connection = connect(open, null, "sessionProperties", "dunlin.route:fleet")) {
      same(count(connection, "select count(*) from orders"), 15000L);
    }
  }

  private static void manyRows() throws SQLException {
    String sql = "select l_orderkey, l_comment from lineitem order by l_orderkey, l_linenumber";
    try (Connection connection = connect(first, "key-of-reader", "sessionProperties", "dunlin.route:fleet");
        Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(sql)) {
      long last = 0;
      int count = 0;
      while (rows.next()) {
        same(rows.getLong(1) >= last, true);
        last = rows.getLong(1);
        count++;
      }
      same(count, 60175);
    }
  }

  /** The driver asks for segments by itself; here, for one form of them. Each gateway gives some of them. */
  private static void segments(String address, String encoding) throws SQLException {
    String sql =
        "select l_orderkey, l_linenumber, l_extendedprice, l_comment, repeat(l_comment, 8) as more from lineitem order by 1, 2";
    String[] more = {"encoding", encoding, "sessionProperties", "dunlin.route:fleet"};
    try (Connection connection = connect(address, address.equals(open) ? null : "key-of-reader", more);
        Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(sql)) {
      long last = 0;
      int count = 0;
      BigDecimal total = BigDecimal.ZERO;
      while (rows.next()) {
        same(rows.getLong(1) >= last, true);
        same(rows.getString(5), rows.getString(4).repeat(8));
        last = rows.getLong(1);
        total = total.add(rows.getBigDecimal(3));
        count++;
      }
      same(count, 60175);
      try (Statement again = connection.createStatement();
          ResultSet sum = again.executeQuery("select sum(l_extendedprice) from lineitem")) {
        same(sum.next(), true);
        same(total, sum.getBigDecimal(1));
      }
    }
  }

  private static void segments() throws SQLException {
    for (String encoding : new String[] {"json+zstd", "json+lz4", "json", "json+zstd,json+lz4,json"}) {
      segments(both, encoding);
    }
    segments(open, "json+zstd");
  }

  private static void types() throws SQLException {
    String sql =
        "select cast(1 as smallint) a, cast(-2 as bigint) b, cast(1.5 as double) c, cast(12.34 as decimal(10,2)) d, "
            + "'ä' e, true f, date '2024-02-29' g, timestamp '2024-02-29T12:00:00.123456' h, cast(null as int) i, "
            + "cast(7 as int unsigned) j, [1, 2] k, x'00ff' l, map(['k'], [1]) m, named_struct('x', 1) n, "
            + "cast('NaN' as double) o, cast(0.1 as real) p";
    try (Connection connection = connect();
        Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(sql)) {
      same(rows.next(), true);
      same(rows.getInt("a"), 1);
      same(rows.getLong("b"), -2L);
      same(rows.getDouble("c"), 1.5);
      same(rows.getBigDecimal("d"), new BigDecimal("12.34"));
      same(rows.getString("e"), "ä");
      same(rows.getBoolean("f"), true);
      same(rows.getDate("g").toLocalDate().toString(), "2024-02-29");
      same(rows.getTimestamp("h").toLocalDateTime().toString(), "2024-02-29T12:00:00.123456");
      same(rows.getObject("i"), null);
      same(rows.wasNull(), true);
      same(rows.getLong("j"), 7L);
      same(List.of((Object[]) rows.getArray("k").getArray()), List.of(1L, 2L));
      same(rows.getBytes("l").length, 2);
      same(rows.getObject("m"), Map.of("k", 1L));
      same(rows.getObject("n") != null, true);
      same(Double.isNaN(rows.getDouble("o")), true);
      same(rows.getFloat("p"), 0.1f);
      same(rows.getMetaData().getColumnType(4), Types.DECIMAL);
      same(rows.getMetaData().getPrecision(4), 10);
      same(rows.next(), false);
    }
  }

  private static void parameters(String... more) throws SQLException {
    String sql =
        "select count(*) from orders where o_orderkey < ? and o_orderdate >= ? and o_orderpriority = ? and o_totalprice > ?";
    try (Connection connection = connect(first, "key-of-reader", more);
        PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int limit : new int[] {10000, 20000}) {
        statement.setLong(1, limit);
        statement.setDate(2, Date.valueOf("1995-01-01"));
        statement.setString(3, "1-URGENT");
        statement.setBigDecimal(4, new BigDecimal("1000.50"));
        try (ResultSet rows = statement.executeQuery()) {
          rows.next();
          long wanted =
              count(
                  connection,
                  "select count(*) from orders where o_orderkey < " + limit
                      + " and o_orderdate >= date '1995-01-01' and o_orderpriority = '1-URGENT' and o_totalprice > 1000.50");
          same(rows.getLong(1), wanted);
          same(wanted > 0, true);
        }
      }
    }
    try (Connection connection = connect(first, "key-of-reader", more);
        PreparedStatement statement =
            connection.prepareStatement("select ? as a, ? as b, ? as c, ? as d, ? as e, ? as f, ? as g, ? as h, ? as i")) {
      statement.setString(1, "' or 1=1 --");
      statement.setDouble(2, 2.5);
      statement.setNull(3, Types.VARCHAR);
      statement.setBoolean(4, true);
      // The driver itself cuts time stamps to milliseconds.
      statement.setTimestamp(5, Timestamp.valueOf("2024-02-29 12:00:00.123456"));
      statement.setBytes(6, new byte[] {0, -1});
      statement.setShort(7, (short) 3);
      statement.setFloat(8, 0.1f);
      statement.setInt(9, -4);
      try (ResultSet rows = statement.executeQuery()) {
        rows.next();
        same(rows.getString("a"), "' or 1=1 --");
        same(rows.getDouble("b"), 2.5);
        same(rows.getString("c"), null);
        same(rows.getBoolean("d"), true);
        same(rows.getTimestamp("e"), Timestamp.valueOf("2024-02-29 12:00:00.123"));
        same(rows.getBytes("f").length, 2);
        same(rows.getShort("g"), (short) 3);
        same(rows.getFloat("h"), 0.1f);
        same(rows.getInt("i"), -4);
      }
    }
  }

  private static void described() throws SQLException {
    try (Connection connection = connect();
        PreparedStatement statement =
            connection.prepareStatement("select n_nationkey, n_name from nation where n_regionkey = ?")) {
      ResultSetMetaData columns = statement.getMetaData();
      same(columns.getColumnCount(), 2);
      same(columns.getColumnName(2), "n_name");
      same(columns.getColumnTypeName(1), "bigint");
      same(statement.getParameterMetaData().getParameterCount(), 1);
      same(statement.getParameterMetaData().getParameterTypeName(1), "bigint");
    }
  }

  private static void catalogs() throws SQLException {
    try (Connection connection = connect(second, "key-of-reader")) {
      DatabaseMetaData meta = connection.getMetaData();
      same(meta.getDatabaseProductVersion().startsWith("dunlin-"), true);
      same(connection.getCatalog(), "datafusion");
      same(connection.getSchema(), "public");
      try (ResultSet rows = meta.getCatalogs()) {
        same(column(rows, "TABLE_CAT"), List.of("datafusion", "system"));
      }
      try (ResultSet rows = meta.getSchemas("datafusion", null)) {
        same(column(rows, "TABLE_SCHEM"), List.of("information_schema", "public"));
      }
      try (ResultSet rows = meta.getTables(null, "public", "n%", null)) {
        same(column(rows, "TABLE_NAME"), List.of("nation"));
      }
      try (ResultSet rows = meta.getTables("datafusion", "public", null, new String[] {"TABLE"})) {
        same(column(rows, "TABLE_NAME").size() >= 8, true);
      }
      try (ResultSet rows = meta.getColumns(null, "public", "nation", null)) {
        same(column(rows, "COLUMN_NAME"), List.of("n_nationkey", "n_name", "n_regionkey", "n_comment"));
      }
      try (ResultSet rows = meta.getColumns("datafusion", "public", "orders", "o\\_total%")) {
        same(rows.next(), true);
        same(rows.getInt("DATA_TYPE"), Types.DECIMAL);
        same(rows.getInt("COLUMN_SIZE"), 15);
        same(rows.getInt("DECIMAL_DIGITS"), 2);
      }
      for (ResultSet rows :
          new ResultSet[] {
            meta.getPrimaryKeys(null, "public", "nation"),
            meta.getImportedKeys(null, "public", "nation"),
            meta.getProcedures(null, null, null),
            meta.getUDTs(null, null, "%", null),
            meta.getSuperTables(null, null, "%"),
            meta.getPseudoColumns(null, null, "%", "%"),
            meta.getAttributes(null, null, "%", "%"),
            meta.getProcedureColumns(null, null, "%", "%")
          }) {
        same(rows.next(), false);
      }
      try (ResultSet rows = meta.getTableTypes()) {
        same(column(rows, "TABLE_TYPE"), List.of("TABLE"));
      }
      try (ResultSet rows = meta.getTypeInfo()) {
        same(column(rows, "TYPE_NAME").contains("decimal"), true);
      }
    }
  }

  private static void sessions() throws SQLException {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      statement.execute("SET SESSION dunlin.route = 'fleet'");
      same(count(connection, "select count(*) from region"), 5L);
      statement.execute("RESET SESSION dunlin.route");
      connection.setSchema("information_schema");
      connection.setSchema("public");
      statement.execute("USE datafusion.public");
      connection.setAutoCommit(false);
      same(count(connection, "select count(*) from region"), 5L);
      connection.commit();
      connection.setAutoCommit(true);
    }
  }

  private static void writes() throws SQLException {
    try (Connection connection = connect(first, "key-of-writer"); Statement statement = connection.createStatement()) {
      same(statement.executeUpdate("create table by_trino_jdbc as select * from region"), 5);
      same(statement.executeUpdate("insert into by_trino_jdbc select * from region"), 5);
      same(count(connection, "select count(*) from by_trino_jdbc"), 10L);
    }
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      refused("scope write", () -> statement.executeUpdate("insert into by_trino_jdbc select * from region"));
    }
  }

  private static void mistakes() throws SQLException {
    refused("Authentication", () -> {
      try (Connection connection = connect(first, "key-of-nobody")) {
        count(connection, "select 1");
      }
    });
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      refused("n_name", () -> statement.executeQuery("select n_nam from nation"));
      try {
        statement.executeQuery("selec 1");
        throw new AssertionError("nothing was refused");
      } catch (SQLException error) {
        same(error.getErrorCode(), 1);
      }
      same(count(connection, "select count(*) from region"), 5L);
    }
  }

  private static void cancels() throws SQLException {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      Thread thread =
          new Thread(
              () -> {
                try {
                  Thread.sleep(1000);
                  statement.cancel();
                } catch (InterruptedException | SQLException error) {
                  System.err.println("  cancel: " + error);
                }
              });
      thread.start();
      long began = System.nanoTime();
      refused(
          "",
          () -> {
            try (ResultSet rows =
                statement.executeQuery(
                    "select count(*) from generate_series(1, 10000000) a, generate_series(1, 10000000) b")) {
              rows.next();
            }
          });
      same((System.nanoTime() - began) / 1e9 < 20, true);
    }
  }

  public static void main(String[] arguments) {
    // The driver logs what it also throws.
    java.util.logging.LogManager.getLogManager().reset();
    first = arguments[0];
    second = arguments[1];
    open = arguments[2];
    both = arguments[3];
    check("JDBC runs statements", TrinoJdbc::statements);
    check("JDBC reads many rows", TrinoJdbc::manyRows);
    check("JDBC reads segments", () -> segments());
    check("JDBC reads types", TrinoJdbc::types);
    check("JDBC binds parameters", () -> parameters());
    check("JDBC binds parameters at once", () -> parameters("explicitPrepare", "false"));
    check("JDBC describes statements", TrinoJdbc::described);
    check("JDBC reads catalogs", TrinoJdbc::catalogs);
    check("JDBC keeps a session", TrinoJdbc::sessions);
    check("JDBC writes", TrinoJdbc::writes);
    check("JDBC is told of mistakes", TrinoJdbc::mistakes);
    check("JDBC cancels", TrinoJdbc::cancels);
    end();
  }
}
