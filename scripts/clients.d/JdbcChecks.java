// What the checks of JDBC drivers share: they run one after the other, and each is reported.

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

class JdbcChecks {
  interface Check {
    void run() throws Exception;
  }

  private static int passed = 0;
  private static int failed = 0;

  static void same(Object got, Object wanted) {
    if (!Objects.equals(got, wanted)) {
      throw new AssertionError("got " + got + ", and not " + wanted);
    }
  }

  static void check(String name, Check check) {
    long began = System.nanoTime();
    try {
      check.run();
      passed++;
      System.out.printf("  %s: %.1f s%n", name, (System.nanoTime() - began) / 1e9);
    } catch (Throwable error) {
      failed++;
      System.err.println("  " + name + ": FAILED: " + error);
      for (Throwable cause = error.getCause(); cause != null; cause = cause.getCause()) {
        System.err.println("    because " + cause);
      }
    }
  }

  static void refused(String words, Check check) {
    try {
      check.run();
    } catch (Exception error) {
      StringBuilder text = new StringBuilder();
      for (Throwable cause = error; cause != null; cause = cause.getCause()) {
        text.append(cause).append('\n');
      }
      if (text.indexOf(words) < 0) {
        throw new AssertionError("the error has no '" + words + "': " + text);
      }
      return;
    }
    throw new AssertionError("nothing was refused; wanted '" + words + "'");
  }

  static List<String> column(ResultSet rows, String name) throws SQLException {
    List<String> values = new ArrayList<>();
    while (rows.next()) {
      values.add(rows.getString(name));
    }
    return values;
  }

  static long count(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
      rows.next();
      return rows.getLong(1);
    }
  }

  /** Ends the program, and says whether all checks passed. */
  static void end() {
    System.out.println("  " + passed + " passed, " + failed + " failed");
    System.exit(failed == 0 ? 0 : 1);
  }
}
