import CKernels
import CoppiceFormats
import CoppiceModels
import CoppiceTensors
import Foundation
import OrderedCollections

/// The table of kernels that was measured on this machine, kept in the user's cache folder.
///
/// A table counts only where it was measured: on the same processor, with the same instruction set and threads.
public enum TunedKernels {
    /// `$XDG_CACHE_HOME/coppice/kernels.json`, by default in `~/.cache`.
    public static var path: String {
        let environment = ProcessInfo.processInfo.environment
        let cache = environment["XDG_CACHE_HOME"].flatMap { $0.isEmpty ? nil : $0 }
        return (cache ?? (environment["HOME"] ?? ".") + "/.cache") + "/coppice/kernels.json"
    }

    /// The stored table; the standard one where there is none, or it was made elsewhere or cannot be read.
    public static func load(path: String = path) -> KernelTable {
        guard let data = FileManager.default.contents(atPath: path),
            let json = try? JSON(parsing: data, source: path), json["machine"]?.stringValue == machine,
            let entries = json["few_rows"]?.objectValue
        else { return .standard }
        var table = KernelTable()
        for (label, value) in entries {
            guard let rows = value.intValue, (1...1024).contains(rows) else { return .standard }
            table.fewRows[label] = rows
        }
        return table
    }

    /// Stores a table for this machine.
    ///
    /// - Throws: `cannotCreate` where the folder or file cannot be written.
    public static func store(_ table: KernelTable, path: String = path) throws {
        let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        } catch {
            throw CoppiceError(.cannotCreate, source: folder, "cannot be created")
        }
        let entries = table.fewRows.sorted { $0.key < $1.key }.map { ($0.key, JSON.integer($0.value)) }
        let json = JSON.object([
            "machine": .string(machine), "few_rows": .object(OrderedDictionary(uniqueKeysWithValues: entries)),
        ])
        try AtomicFile.write(json.serialized(pretty: true) + "\n", to: path)
    }

    /// What a table depends on.
    static var machine: String {
        "\(Machine.processor), level \(coppice_cpu_level_in_use().rawValue), \(Machine.threads) threads"
    }
}
