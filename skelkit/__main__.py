from skelkit.cli import main

main(prog_name="skelkit")
