import ArgumentParser
import CoppiceTensors
import Foundation

/// The command-line program: arguments in, one answer out.
@main
struct Coppice: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "coppice",
        abstract: "Makes neural networks small and fast, and serves them: train, compress, evaluate, serve.",
        version: "0.1.0",
        subcommands: [
            Generate.self, Chat.self, Evaluate.self, Compress.self, Compare.self, Convert.self, Inspect.self,
            Tokenize.self,
            LogitsCommand.self, Bench.self, Train.self, Precrop.self, PruneBlocks.self, PruneChannels.self, Gates.self,
            Serve.self,
            MethodsCommand.self, Reproduce.self, Report.self,
            Grok.self, Lottery.self, Scaling.self, Analyze.self, Mask.self, Doctor.self,
        ])

    /// Runs a command. Failures are one line on standard error and an exit status of sysexits.
    static func main() async {
        // A closed pipe ends the program by an error of write, not by a signal.
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try parseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch let error as CoppiceError {
            Output.fail(error)
        } catch {
            exit(withError: error)
        }
    }
}
