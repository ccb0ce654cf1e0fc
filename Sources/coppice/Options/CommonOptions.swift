import ArgumentParser
import CKernels
import CoppiceModels
import CoppiceTensors

/// Options that every command has.
struct CommonOptions: ParsableArguments {
    @Flag(help: "Print one JSON object on standard output.")
    var json = false

    @Option(help: ArgumentHelp("Threads to compute with (default: as many as the machine has).", valueName: "n"))
    var threads: Int?

    mutating func validate() throws {
        if let threads, !(1...256).contains(threads) {
            throw ValidationError("--threads: expected 1 to 256, found \(threads)")
        }
    }

    /// Puts the options into effect.
    func apply() {
        if let threads { coppice_set_thread_count(Int32(threads)) }
    }

    /// Progress on standard error.
    var progress: any ProgressReporter { ConsoleProgress() }
}
