// A PLC that is not ours: snap7's own C++ server (npm node-snap7), on the loopback port given as the only argument.
// DB1 600 bytes beginning with the DINT 42, DB2 2048 bytes for writing, no flags: MB0 is refused.
const snap7 = require("node-snap7");

const server = new snap7.S7Server();
const telemetry = Buffer.alloc(600);
telemetry.writeInt32BE(42, 0);
const scratch = Buffer.alloc(2048);
server.SetParam(server.LocalPort, Number(process.argv[2]));
server.RegisterArea(server.srvAreaDB, 1, telemetry);
server.RegisterArea(server.srvAreaDB, 2, scratch);
if (!server.StartTo("127.0.0.1")) process.exit(1);
console.log("listening");
global.kept = [server, telemetry, scratch]; // else the garbage collector stops it after some seconds
process.stdin.on("end", () => process.exit(0)).resume();
