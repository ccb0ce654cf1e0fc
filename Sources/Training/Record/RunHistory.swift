import CoppiceModels
import CoppiceTensors
import Foundation
import GRDB

/// All training runs in one SQLite file: what was run, when, how far it came, and its metrics.
///
/// Several processes may write to the same file. Tables: `runs`, one row a run; `metrics`, one row a step and name
/// (`loss`, `validation_loss`, `learning_rate`, `gradient_norm`, `tokens_per_second`).
public final class RunHistory: Sendable {
    /// One run.
    public struct Run: Codable, FetchableRecord, PersistableRecord, Sendable, Hashable {
        public static let databaseTableName = "runs"

        /// Unique.
        public var id: String
        /// The recipe's name or file.
        public var name: String
        /// `running`, `failed` or a ``TrainingOutcome``.
        public var status: String
        public var output: String
        public var recipe: String
        public var recipeHash: String
        public var seed: Int64
        public var parameters: Int
        public var step: Int
        public var totalSteps: Int
        public var tokens: Int
        /// Nats a token.
        public var bestValidationLoss: Double?
        public var bestStep: Int?
        /// When the run was first started and last heard of.
        public var startedAt: Date
        public var updatedAt: Date

        public init(
            id: String, name: String, output: String, recipe: TrainingRecipe, parameters: Int, totalSteps: Int,
            startedAt: Date = Date()
        ) {
            self.init(
                id: id, name: name, output: output, recipe: recipe.text, seed: recipe.seed, parameters: parameters,
                totalSteps: totalSteps, startedAt: startedAt)
        }

        /// - Parameter recipe: the text of a recipe of any kind.
        public init(
            id: String, name: String, output: String, recipe: String, seed: UInt64, parameters: Int, totalSteps: Int,
            startedAt: Date = Date()
        ) {
            self.id = id
            self.name = name
            status = "running"
            self.output = output
            self.recipe = recipe
            recipeHash = SHA256.hexadecimal(recipe.utf8)
            self.seed = Int64(truncatingIfNeeded: seed)
            self.parameters = parameters
            step = 0
            self.totalSteps = totalSteps
            tokens = 0
            self.startedAt = startedAt
            updatedAt = startedAt
        }
    }

    /// One measurement.
    public struct Metric: Codable, FetchableRecord, PersistableRecord, Sendable, Hashable {
        public static let databaseTableName = "metrics"

        public var run: String
        public var step: Int
        public var name: String
        public var value: Double

        public init(run: String, step: Int, name: String, value: Double) {
            self.run = run
            self.step = step
            self.name = name
            self.value = value
        }
    }

    public let path: String
    private let database: DatabaseQueue

    /// Opens a history, creating it where there is none.
    ///
    /// - Throws: `.cannotCreate` when the file cannot be opened, `.badData` when it is no history.
    public init(path: String) throws {
        self.path = path
        var configuration = Configuration()
        configuration.busyMode = .timeout(10)
        do {
            database = try DatabaseQueue(path: path, configuration: configuration)
            try Self.migrator.migrate(database)
        } catch let error as DatabaseError where error.resultCode == .SQLITE_NOTADB {
            throw CoppiceError(.badData, source: path, "is not a run history, expected an SQLite database")
        } catch let error as DatabaseError {
            throw CoppiceError(
                .cannotCreate, source: path, "cannot open the run history: \(error.message ?? "\(error.resultCode)")")
        }
    }

    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("runs and metrics") { database in
            try database.create(table: "runs") { table in
                table.primaryKey("id", .text)
                for column in ["name", "status", "output", "recipe", "recipeHash"] {
                    table.column(column, .text).notNull()
                }
                for column in ["seed", "parameters", "step", "totalSteps", "tokens"] {
                    table.column(column, .integer).notNull()
                }
                table.column("bestValidationLoss", .double)
                table.column("bestStep", .integer)
                table.column("startedAt", .datetime).notNull()
                table.column("updatedAt", .datetime).notNull()
            }
            try database.create(table: "metrics") { table in
                table.column("run", .text).notNull().references("runs", onDelete: .cascade)
                table.column("step", .integer).notNull()
                table.column("name", .text).notNull()
                table.column("value", .double).notNull()
                table.primaryKey(["run", "step", "name"])
            }
        }
        return migrator
    }

    /// Adds a run, or takes one up again at a step: what was recorded beyond it is removed.
    public func begin(_ run: Run, resumingAt step: Int = 0) throws {
        try write { database in
            if var earlier = try Run.fetchOne(database, key: run.id) {
                earlier.status = "running"
                earlier.step = step
                earlier.totalSteps = run.totalSteps
                earlier.updatedAt = Date()
                try earlier.update(database)
                try database.execute(
                    sql: "DELETE FROM metrics WHERE run = ? AND step > ?", arguments: [run.id, step])
            } else {
                try run.insert(database)
            }
        }
    }

    /// Changes a run and adds metrics to it.
    public func update(_ id: String, metrics: [String: Double] = [:], _ change: (inout Run) -> Void) throws {
        try write { database in
            guard var run = try Run.fetchOne(database, key: id) else { return }
            change(&run)
            run.updatedAt = Date()
            try run.update(database)
            for (name, value) in metrics {
                try Metric(run: id, step: run.step, name: name, value: value).upsert(database)
            }
        }
    }

    /// All runs, the latest first.
    public func runs() throws -> [Run] {
        try read { try Run.order(Column("startedAt").desc, Column("id")).fetchAll($0) }
    }

    /// One run.
    public func run(_ id: String) throws -> Run? { try read { try Run.fetchOne($0, key: id) } }

    /// The values of a metric by step, in order.
    public func metrics(_ id: String, name: String) throws -> [Metric] {
        try read { database in
            try Metric.filter(Column("run") == id && Column("name") == name).order(Column("step")).fetchAll(database)
        }
    }

    private func write(_ body: (Database) throws -> Void) throws {
        do {
            try database.write(body)
        } catch let error as DatabaseError {
            throw CoppiceError(
                .inputOutput, source: path, "cannot write the run history: \(error.message ?? "\(error.resultCode)")")
        }
    }

    private func read<Result>(_ body: (Database) throws -> Result) throws -> Result {
        do {
            return try database.read(body)
        } catch let error as DatabaseError {
            throw CoppiceError(
                .inputOutput, source: path, "cannot read the run history: \(error.message ?? "\(error.resultCode)")")
        }
    }
}
