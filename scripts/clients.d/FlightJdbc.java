// What the JDBC driver of Flight SQL gets from two gateways: run by scripts/clients.d/flight with the addresses of both.

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
import java.util.List;
import java.util.Properties;

public final class FlightJdbc extends JdbcChecks {
  private static String first;
  private static String second;

  private static Connection connect(String address, String key) throws SQLException {
    Properties properties = new Properties();
    properties.put("user", "anyone");
    properties.put("password", key);
    properties.put("useEncryption", "false");
    return DriverManager.getConnection("jdbc:arrow-flight-sql://" + address, properties);
  }

  private static Connection connect() throws SQLException {
    return connect(first, "key-of-reader");
  }

  private static void statements() throws SQLException {
    try (Connection connection = connect()) {
      same(count(connection, "select count(*) from lineitem"), 60175L);
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
  }

  private static void types() throws SQLException {
    String sql =
        "select cast(1 as smallint) a, cast(-2 as bigint) b, 1.5 c, cast(12.34 as decimal(10,2)) d, 'ä' e, true f, "
            + "date '2024-02-29' g, timestamp '2024-02-29T12:00:00' h, cast(null as int) i, cast(7 as int unsigned) j, "
            + "[1, 2] k, x'00ff' l";
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
      same(rows.getTimestamp("h").toLocalDateTime().toString(), "2024-02-29T12:00");
      same(rows.getObject("i"), null);
      same(rows.wasNull(), true);
      same(rows.getLong("j"), 7L);
      same(rows.getArray("k") != null, true);
      same(rows.getBytes("l").length, 2);
      same(rows.next(), false);
    }
  }

  private static void parameters() throws SQLException {
    String sql = "select count(*) from orders where o_orderkey < ? and o_orderdate >= ? and o_orderpriority = ?";
    try (Connection connection = connect(); PreparedStatement statement = connection.prepareStatement(sql)) {
      same(statement.getParameterMetaData().getParameterCount(), 3);
      for (int limit : new int[] {10000, 20000}) {
        statement.setLong(1, limit);
        statement.setDate(2, Date.valueOf("1995-01-01"));
        statement.setString(3, "1-URGENT");
        try (ResultSet rows = statement.executeQuery()) {
          rows.next();
          long wanted =
              count(
                  connection,
                  "select count(*) from orders where o_orderkey < " + limit
                      + " and o_orderdate >= date '1995-01-01' and o_orderpriority = '1-URGENT'");
          same(rows.getLong(1), wanted);
          same(wanted > 0, true);
        }
      }
    }
  }

  private static void catalogs() throws SQLException {
    try (Connection connection = connect(second, "key-of-reader")) {
      DatabaseMetaData meta = connection.getMetaData();
      same(meta.getDatabaseProductName(), "Dunlin");
      try (ResultSet rows = meta.getCatalogs()) {
        same(column(rows, "TABLE_CAT"), List.of("datafusion"));
      }
      try (ResultSet rows = meta.getSchemas()) {
        same(column(rows, "TABLE_SCHEM"), List.of("information_schema", "public", "system"));
      }
      try (ResultSet rows = meta.getTables(null, "public", "n%", null)) {
        same(column(rows, "TABLE_NAME"), List.of("nation"));
      }
      try (ResultSet rows = meta.getColumns(null, "public", "nation", null)) {
        same(column(rows, "COLUMN_NAME"), List.of("n_nationkey", "n_name", "n_regionkey", "n_comment"));
      }
      try (ResultSet rows = meta.getPrimaryKeys(null, "public", "nation")) {
        same(rows.next(), false);
      }
      try (ResultSet rows = meta.getTableTypes()) {
        same(column(rows, "TABLE_TYPE"), List.of("SYSTEM TABLE", "TABLE"));
      }
    }
  }

  private static void writes() throws SQLException {
    try (Connection connection = connect(first, "key-of-writer"); Statement statement = connection.createStatement()) {
      same(statement.executeUpdate("create table by_jdbc as select * from region"), 5);
      same(statement.executeUpdate("insert into by_jdbc select * from region"), 5);
      same(count(connection, "select count(*) from by_jdbc"), 10L);
    }
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      refused("scope write", () -> statement.executeUpdate("insert into by_jdbc select * from region"));
    }
  }

  private static void mistakes() throws SQLException {
    refused("UNAUTHORIZED", () -> connect(first, "key-of-nobody").close());
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      refused("n_name", () -> statement.executeQuery("select n_nam from nation"));
      refused("SYNTAX_ERROR", () -> statement.executeQuery("selec 1"));
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
    check("JDBC runs statements", FlightJdbc::statements);
    check("JDBC reads types", FlightJdbc::types);
    check("JDBC binds parameters", FlightJdbc::parameters);
    check("JDBC reads catalogs", FlightJdbc::catalogs);
    check("JDBC writes", FlightJdbc::writes);
    check("JDBC is told of mistakes", FlightJdbc::mistakes);
    check("JDBC cancels", FlightJdbc::cancels);
    end();
  }
}
